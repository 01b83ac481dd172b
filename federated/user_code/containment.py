"""Containment of user code: any error or exit becomes one error that names the code; interrupts pass through."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol

from federated.foundation.errors import BadInput, Diverged, OwnCodeFailed
from federated.user_code.permission import PRIVATE, explained, is_fault, is_theirs, place_of

_DOTTED = re.compile(r"[\w.]+:[\w.]+")


class Named(Protocol):
    """A choice: a name, its arguments, and the two as a short call."""

    @property
    def name(self) -> str:
        """As the study file has it."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """All of them, by name."""

    def label(self) -> str:
        """Such as `dirichlet(alpha=0.1)`."""


class Flat(Protocol):
    """A config that can say its fields by their paths."""

    def flat(self) -> dict[str, Any]:
        """Dotted path -> value."""


@contextmanager
def contained(what: str, failed: type[ValueError] = OwnCodeFailed, hint: str = "") -> Iterator[None]:
    """Raise any error within as `failed`, in a line: `what: the error in words`, and the hint."""
    try:
        yield
    except OwnCodeFailed:
        raise
    except BaseException as error:
        if not is_fault(error):
            raise
        raise failed(f"{what}: {explained(error)}{hint}") from error


@contextmanager
def own_code_named(config: Flat) -> Iterator[None]:
    """Turn errors of user code within into OwnCodeFailed; other errors pass through.

    Which code it was is looked up in the config by its file.
    """
    try:
        yield
    except OwnCodeFailed:
        raise
    except BaseException as error:
        frame = place_of(error)
        ours = isinstance(error, BadInput | Diverged) and frame is None
        if ours or not is_fault(error) or (frame is None and isinstance(error, Exception)):
            raise
        named = _name_of(None if frame is None else frame[0], config.flat())
        raise OwnCodeFailed(f"{named}: {explained(error)}") from error


def contain_exits() -> None:
    """From now on a person's own code that calls os._exit only raises SystemExit; all others end the process."""
    ends = os._exit
    if getattr(ends, "contained", False):
        return

    def end(status: int = 0) -> NoReturn:
        if is_theirs(sys._getframe(1).f_code.co_filename):
            raise SystemExit(status)
        ends(status)

    end.contained = True  # type: ignore[attr-defined]
    os._exit = end


def is_own(choice: Named) -> bool:
    """Whether a choice, or one inside its arguments, is user code, `package.module:function`."""
    return ":" in choice.name or any(map(_holds_own, choice.arguments.values()))


def title(choice: Named) -> str:
    """The choice's label, with the module where it is a person's own: `nets:Pooled(width=4)`."""
    module = choice.name.rpartition(":")[0]
    return f"{module}:{choice.label()}" if module else choice.label()


def _holds_own(value: Any) -> bool:
    if isinstance(value, Mapping):
        return ":" in str(value.get("name", "")) or any(map(_holds_own, value.values()))
    return isinstance(value, list | tuple) and any(map(_holds_own, value))


def _name_of(file: str | None, choices: Mapping[str, Any]) -> str:
    """`model: nets:Pooled` where the file is that of the module, else that it is own code."""
    for path, value in choices.items():
        for name in value if isinstance(value, list) else [value]:
            is_name = file is not None and isinstance(name, str) and _DOTTED.fullmatch(name)
            if is_name and file in _files_of(name.partition(":")[0]):
                return f"{path}: {name}"
    return "own code"


def _files_of(module: str) -> set[str | None]:
    """The files of the modules of this name: those of studies have a package of their own each."""
    return {
        getattr(known, "__file__", None)
        for name, known in list(sys.modules.items())
        if name == module or (name.startswith(PRIVATE) and name.partition(".")[2] == module)
    }
