"""The processor, and the number of threads of a run."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

_runs_at_a_time = 1


def share_cores(runs: int) -> None:
    """From now on, this process is one of so many that train at the same time."""
    global _runs_at_a_time
    _runs_at_a_time = runs


def runs_at_a_time() -> int:
    """How many processes train at the same time, this one among them."""
    return _runs_at_a_time


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


@lru_cache(maxsize=1)
def processor() -> str:
    """What tells this kind of processor from others: its maker, family, model and caches where the system says them."""
    told = Path("/proc/cpuinfo")
    if not told.is_file():
        return platform.processor() or platform.machine()
    first = told.read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    kept = {"vendor_id", "cpu family", "model", "model name", "cache size"}
    kept |= {"CPU implementer", "CPU variant", "CPU part"}  # of ARM, which says none of those
    fields = (line.partition(":") for line in first)
    said = "; ".join(value.strip() for name, _, value in fields if name.strip() in kept)
    return said or platform.machine()
