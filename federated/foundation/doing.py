"""The steps that this process is at, for whoever shows them to a person who waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, eq=False)
class Step:
    """what: in words, `loading the weights`. since: its start on the clock of `time.perf_counter`."""

    what: str
    since: float = field(default_factory=time.perf_counter)


_steps: list[Step] = []


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Name a step that may take seconds, for as long as it lasts; steps may be within each other."""
    step = Step(what)
    _steps.append(step)
    try:
        yield
    finally:
        _steps.remove(step)  # not the last one: another thread may have begun one meanwhile


def steps_now() -> tuple[Step, ...]:
    """From the outermost to the innermost."""
    return tuple(_steps)
