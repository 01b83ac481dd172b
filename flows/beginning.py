"""When the command began whose study runs: what a study takes counts from there."""

import time

_began: list[float] = []


def command_begins() -> None:
    """The command starts now."""
    _began[:] = [time.perf_counter()]


def take_beginning() -> float:
    """When the command started, on the clock of `time.perf_counter`; now, for a study that no command started."""
    return _began.pop() if _began else time.perf_counter()
