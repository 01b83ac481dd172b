"""A user's own function, by its dotted name."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

_PROJECT = Path(__file__).parents[1]


def own_function(name: str) -> Callable[..., Any]:
    """Import the user's own `package.module:function`. Raises ValueError when that cannot be done."""
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute or module_name.startswith("."):
        raise ValueError(f"cannot import {name!r}: write package.module:function")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"cannot import {name!r}: {explained(error)} "
            "(looked beside the study file, in the working folder and on PYTHONPATH)"
        ) from error
    if not callable(found):
        raise ValueError(f"{name!r} is a {type(found).__name__}, not a function or class that can be called")
    return found  # type: ignore[no-any-return]


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The types in a function's signature; none where they cannot be resolved (a partial, a name that is not there)."""
    try:
        return get_type_hints(function.__init__ if inspect.isclass(function) else function)
    except (NameError, TypeError):
        return {}


def explained(error: BaseException) -> str:
    """An error that a user's own code may have raised, in words: its type where that says more, and its place."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not _is_ours(Path(frame.filename))]
    place = f" ({Path(theirs[-1].filename).name}, line {theirs[-1].lineno})" if theirs else ""
    is_plain = isinstance(error, ValueError | ImportError) and not theirs
    return f"{error}{place}" if is_plain else f"{type(error).__name__}: {error}{place}"


def _is_ours(file: Path) -> bool:
    """Of this project, of a library or of Python itself: not the user's own."""
    return (
        str(file).startswith("<")
        or file.is_relative_to(_PROJECT)
        or file.is_relative_to(sys.prefix)
        or (file.is_relative_to(sys.base_prefix))
    )
