"""The start of the command that runs a study, from which the study's duration counts, and of the study in MLflow."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

_began: list[float] = []
_open_in_mlflow = False
_goes_on_unasked = False


def command_begins() -> None:
    """The command starts now."""
    global _open_in_mlflow
    _began[:], _open_in_mlflow = [time.perf_counter()], False


def take_beginning() -> float:
    """The start time of the command on the clock of `time.perf_counter`; now, for a study without a command."""
    return _began.pop() if _began else time.perf_counter()


def study_is_open() -> None:
    """The study has its run in MLflow now."""
    global _open_in_mlflow
    _open_in_mlflow = True


def has_open_study() -> bool:
    """Whether the study of this command has its run in MLflow, in which it can go on."""
    return _open_in_mlflow


@contextmanager
def going_on_unasked() -> Iterator[None]:
    """Let a study in the block go on in its own run and take none of earlier studies, as nobody asked to resume."""
    global _goes_on_unasked
    _goes_on_unasked = True
    try:
        yield
    finally:
        _goes_on_unasked = False


def goes_on_unasked() -> bool:
    """Whether the study goes on in its own run alone."""
    return _goes_on_unasked
