"""Every relative path of a study made absolute, once, when the study is read.

A path may stand in the base, on an axis, in an arm, within another choice, in a list of choices or in their text. After
this its meaning depends neither on the working folder nor on when it is looked at. What cannot be read stays as it is:
the check of the study says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from federated.choice import Choice, Kind
from federated.choice_text import summands
from federated.config import RunConfig
from federated.paths import absolute_within, is_path


def anchored(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The content of a study with its paths, which are relative to `folder`, absolute."""
    made = dict(content)
    base = content.get("base")
    if isinstance(base, Mapping):
        made["base"] = _section(RunConfig, base, folder)
    if isinstance(axes := content.get("axes"), Mapping):
        every = [
            {path: value} for path, values in axes.items() if isinstance(values, list) for value in values
        ]
        made["axes"] = {
            path: [anchored_override(path, value, [base, *every], folder) for value in values]
            if isinstance(values, list)
            else values
            for path, values in axes.items()
        }
    if isinstance(arms := content.get("arms"), list):
        made["arms"] = [_arm(arm, base, folder) if isinstance(arm, Mapping) else arm for arm in arms]
    return made


def anchored_override(path: Any, value: Any, stated: Sequence[Any], folder: Path) -> Any:
    """The value of a dotted path with its paths absolute.

    stated: the base and the overrides that may say which choice the path leads into.
    """
    parts = path.split(".") if isinstance(path, str) else []
    model: type[BaseModel] = RunConfig
    for depth, part in enumerate(parts):
        if (field := model.model_fields.get(part)) is None:
            return value
        rest, kind = parts[depth + 1 :], _kind_of(field)
        if kind is not None and rest:
            into = [found for each in stated for found in _at(each, parts[: depth + 1])]
            return _argument(kind, into, rest, value, folder)
        if not rest:
            return _field(field, value, folder)
        if (inner := _model_of(field)) is None:
            return value
        model = inner
    return value


def _arm(arm: Mapping[str, Any], base: Any, folder: Path) -> dict[str, Any]:
    stated = [base, *({path: value} for path, value in arm.items())]
    return {path: anchored_override(path, value, stated, folder) for path, value in arm.items()}


def _section(model: type[BaseModel], content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    fields = model.model_fields
    return {
        name: _field(fields[name], value, folder) if name in fields else value
        for name, value in content.items()
    }


def _field(field: FieldInfo, value: Any, folder: Path) -> Any:
    if (kind := _kind_of(field)) is not None:
        return _choice(kind, value, folder)
    if (model := _model_of(field)) is not None:
        return _section(model, value, folder) if isinstance(value, Mapping) else value
    return absolute_within(value, folder, also_text=True) if is_path(field.annotation) else value


def _choice(kind: Kind[Any], value: Any, folder: Path) -> Any:
    """A choice, or several, in any of the forms of a study file; as it was where there is no path in it."""
    if kind.several is not None and (parts := summands(value)) is not None:
        made = [_choice(kind, part, folder) for part in parts]
        return made if made != parts else value
    if (stated := _stated(kind, value)) is None:
        return value
    name, arguments = stated
    hints = kind.hints(name)
    made_arguments = {
        key: _value(kind, hints.get(key), argument, folder) for key, argument in arguments.items()
    }
    return {"name": name, **made_arguments} if made_arguments != arguments else value


def _value(kind: Kind[Any], hint: Any, value: Any, folder: Path) -> Any:
    """An argument of a choice."""
    if kind.is_several(hint):
        return [_choice(kind, each, folder) for each in value] if isinstance(value, list | tuple) else value
    if kind.nests(hint, value):
        return _choice(kind, value, folder)
    return absolute_within(value, folder, also_text=True) if is_path(hint) else value


def _argument(kind: Kind[Any], choices: Sequence[Any], parts: Sequence[str], value: Any, folder: Path) -> Any:
    """The value of a dotted path below a choice, which is one of `choices`."""
    for choice in choices:
        for name, arguments in _leaves(kind, choice, parts[:-1]):
            made = _value(kind, kind.hints(name).get(parts[-1]), value, folder)
            if made != value or parts[-1] in arguments:
                return made
    return value


def _leaves(kind: Kind[Any], choice: Any, parts: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The choices, by name and stated arguments, that a dotted path within a choice leads to."""
    if kind.several is not None and (several := summands(choice)) is not None:
        choice = {"name": kind.several[0], kind.several[1]: several}
    if (stated := _stated(kind, choice)) is None:
        return
    name, arguments = stated
    if not parts:
        yield name, arguments
        return
    inner = arguments.get(parts[0])
    if kind.is_several(kind.hints(name).get(parts[0])) and isinstance(inner, list | tuple):
        for each in inner:
            if len(parts) > 1 and (known := _stated(kind, each)) is not None and known[0] == parts[1]:
                yield from _leaves(kind, each, parts[2:])
    elif inner is not None:
        yield from _leaves(kind, inner, parts[1:])


def _stated(kind: Kind[Any], value: Any) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments by name of one choice; None where it cannot be read."""
    try:
        choice = Choice.model_validate(value)
        parameters = kind.parameters(choice.name)
    except ValueError:
        return None
    if len(choice.positional) > len(parameters):
        return None
    by_position = dict(zip((p.name for p in parameters), choice.positional, strict=False))
    if by_position.keys() & choice.arguments.keys():
        return None
    return choice.name, {**by_position, **choice.arguments}


def _at(content: Any, parts: Sequence[str]) -> Iterator[Any]:
    """What a section of a run, or an override `{dotted path: value}`, says of the field at a dotted path."""
    if not isinstance(content, Mapping):
        return
    for key, value in content.items():
        stated = key.split(".") if isinstance(key, str) else []
        if stated == [*parts, "name"]:
            yield {"name": value}
        elif stated == list(parts):
            yield value
        elif stated and stated == list(parts[: len(stated)]):
            yield from _at(value, parts[len(stated) :])


def _kind_of(field: FieldInfo) -> Kind[Any] | None:
    return next((each for each in field.metadata if isinstance(each, Kind)), None)


def _model_of(field: FieldInfo) -> type[BaseModel] | None:
    """The section that a field is, or may be; None where it is none."""
    for hint in (field.annotation, *get_args(field.annotation)):
        if isinstance(hint, type) and issubclass(hint, BaseModel):
            return hint
    return None
