"""Type hints of user code, and readable descriptions of its errors."""

from __future__ import annotations

import dis
import inspect
import os
import re
import sysconfig
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, get_type_hints

_PROJECT = Path(__file__).parents[2]
_ROOMS = ("flows", "tasks", "federated", "data_partitioners", "benchmarks", "tests")
_PYTHON = [Path(sysconfig.get_path(which)) for which in ("stdlib", "platstdlib")]
_NOT_THEIRS = tuple(f"{folder}{os.sep}" for folder in (*(_PROJECT / room for room in _ROOMS), *_PYTHON))


PRIVATE = "fedstudy_own_"
"""How the name of the package begins that one study's own modules are in, see federated/user_code/modules.py."""

_PRIVATE_NAME = re.compile(rf"\b{PRIVATE}[0-9a-f]+\.?")


def without_private(text: str) -> str:
    """A text with the modules of a person's own as the person calls them."""
    return _PRIVATE_NAME.sub("", text)


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The types in a function's signature, with what they allow; none where they cannot be resolved (a partial, a name
    that is not there)."""
    try:
        return get_type_hints(
            function.__init__ if inspect.isclass(function) else function, include_extras=True
        )
    except (NameError, TypeError):
        return {}


def explained(error: BaseException) -> str:
    """An error that a user's own code may have raised, in a line: its type where that says more, and its place."""
    frame = place_of(error)
    place = f" ({Path(frame[0]).name}, line {frame[1]})" if frame else ""
    text = _text(error)
    if isinstance(error, ValueError | ImportError) and not frame:
        return text
    return f"{type(error).__name__}: {text}{place}" if text else f"{type(error).__name__}{place}"


def place_of(error: BaseException) -> tuple[str, int] | None:
    """(file, line) of the last of a person's own code that an error went through; None where there was none."""
    theirs = [frame for frame in traceback.extract_tb(error.__traceback__) if is_theirs(frame.filename)]
    return (theirs[-1].filename, theirs[-1].lineno or 0) if theirs else None


def is_fault(error: BaseException) -> bool:
    """Whether an exception is an error, rather than an interrupt of the process.

    An interrupt comes from a signal; code that raises KeyboardInterrupt by itself stands at a `raise`.
    """
    if isinstance(error, Exception | SystemExit | GeneratorExit):
        return True
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and _raises(trace) and is_theirs(trace.tb_frame.f_code.co_filename)


@cache  # of all modules of the process it is asked for each model that is saved
def is_theirs(file: str) -> bool:
    """Whether code is the user's: not of this project, of a library or of Python itself."""
    path = Path(file)
    return not (
        str(path).startswith(("<", *_NOT_THEIRS)) or {"site-packages", "dist-packages"} & {*path.parts}
    )


def _text(error: BaseException) -> str:
    """In one line; a person's own error may fail even at this."""
    try:
        return without_private(" ".join(str(error).split()))
    except Exception:  # noqa: BLE001
        return "(its text cannot be made)"


def _raises(trace: TracebackType) -> bool:
    code = trace.tb_frame.f_code.co_code
    return dis.opname[code[trace.tb_lasti]] in ("RAISE_VARARGS", "RERAISE")
