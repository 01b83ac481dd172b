"""The number of threads of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_runs_at_a_time = 1


def share_cores(runs: int) -> None:
    """From now on, this process is one of so many that train at the same time."""
    global _runs_at_a_time
    _runs_at_a_time = runs


@contextmanager
def cores_shared_by(runs: int) -> Iterator[None]:
    """Within this context, this process is one of so many that train at the same time."""
    before = _runs_at_a_time
    share_cores(runs)
    try:
        yield
    finally:
        share_cores(before)


def threads_of(asked: int | None) -> int:
    """The threads that were asked for; None: this process's share of the cores it may use, at least one."""
    return asked or max(1, _usable_cores() // _runs_at_a_time)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
