"""Suggestions for the name of a field that does not exist: the misspelt one, or the one that stands elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from inspect import signature
from typing import Any, get_args

from pydantic import BaseModel

from federated.choices.choice import Kind
from federated.config.section import Frozen


def no_such_field(section: type[BaseModel]) -> Callable[[Sequence[str]], str]:
    """The sentence on a path of fields that `section` does not have: what was probably meant, or what is allowed.

    A path that ends in "" asks for the fields there.
    """

    def said(path: Sequence[str]) -> str:
        here = _section_at(section, path[:-1])
        own = [] if here is None else list(here.model_fields)
        every, wrong = list(_paths(section)), path[-1]
        is_field = any(known.rpartition(".")[2] == wrong for known in every)
        if here is not None and not is_field and (argument := _as_argument(here, wrong)):
            return argument
        return suggestion(wrong, own, every, path[:-1])

    return said


def _as_argument(section: type[BaseModel], name: str) -> str:
    """`noise_multiplier is an argument: mechanism: central_gaussian(noise_multiplier=...)`, where it is one of a choice
    in this section; "" elsewhere."""
    for field, stated in section.model_fields.items():
        for kind in stated.metadata:
            factories = kind.factories if isinstance(kind, Kind) else {}
            if taking := [
                known for known, factory in factories.items() if name in signature(factory).parameters
            ]:
                return f"{name} is an argument; state it there, such as {field}: {taking[0]}({name}=...)"
    return ""


def suggestion(wrong: str, here: Iterable[str], everywhere: Iterable[str], above: Sequence[str] = ()) -> str:
    """`did you mean 'rounds'?`, or the fields that there are, as for a name "".

    here: names of the fields beside the wrong one. everywhere: dotted paths of all fields. above: where `here` is.
    """
    paths, here = list(everywhere), [name for name in here if ".".join([*above, name]) not in _SET_BY_STUDY]
    name = re.split(r"\W", wrong)[-1]  # `local/learning_rate` and `base.rounds` name a field, too
    elsewhere = [path for path in paths if path.rpartition(".")[2] == name]
    beside = [".".join([*above, name]) for name in get_close_matches(wrong, here, n=1)]
    if not wrong:
        return f"fields here: {', '.join(here)}"
    meant = elsewhere or beside or _by_last_part(name, paths)
    if meant:
        return f"did you mean {meant[0]!r}?"
    return f"fields here: {', '.join(here)}"


_SET_BY_STUDY = ("seed", "base.seed")
"""Fields that a person does not state: a study has `seeds`."""


def _by_last_part(wrong: str, paths: Sequence[str]) -> list[str]:
    by_name = {path.rpartition(".")[2]: path for path in reversed(paths)}
    return [by_name[name] for name in get_close_matches(wrong, by_name, n=1, cutoff=0.75)]


def _section_at(section: type[BaseModel] | None, path: Sequence[str]) -> type[BaseModel] | None:
    for part in path:
        if section is None or part not in section.model_fields:
            return None
        section = _section_of(section.model_fields[part].annotation)
    return section


def _paths(section: type[BaseModel], above: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        if (path := f"{above}{name}") not in _SET_BY_STUDY:
            yield path
        if (inner := _section_of(field.annotation)) is not None:
            yield from _paths(inner, f"{path}.")


def _section_of(hint: Any) -> type[BaseModel] | None:
    """The section that a field holds, if it holds one or null; choices are no sections."""
    found = [each for each in (hint, *get_args(hint)) if isinstance(each, type) and issubclass(each, Frozen)]
    return found[0] if found else None
