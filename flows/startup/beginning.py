"""The start time of the command that runs a study, from which the study's duration counts."""

import time

_began: list[float] = []


def command_begins() -> None:
    """The command starts now."""
    _began[:] = [time.perf_counter()]


def take_beginning() -> float:
    """The start time of the command on the clock of `time.perf_counter`; now, for a study without a command."""
    return _began.pop() if _began else time.perf_counter()
