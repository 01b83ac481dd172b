"""Every relative path of a study made absolute, once, when the study is read.

A path may stand in the base, on an axis, in an arm, within another choice, in a list of choices or in their text. After
this its meaning depends neither on the working folder nor on when it is looked at. What cannot be read stays as it is:
the check of the study says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from federated.choices.choice import Choice, Kind
from federated.choices.study_paths import is_path, of_hint
from federated.choices.text import summands
from federated.config.fields.short_forms import long_form, long_path
from federated.config.run import RunConfig
from federated.user_code.signatures import Signature
from federated.user_code.source import Roots


class Place(NamedTuple):
    """The location of a study. folder: the base of relative paths; roots: the folders of its own modules."""

    folder: Path
    roots: Roots = ()

    @classmethod
    def of_file(cls, path: Path) -> Place:
        """Of a study file: its folder, whose modules come before those of the working one."""
        folder = path.parent.resolve()
        return cls(folder, tuple(dict.fromkeys((folder, Path.cwd()))))

    @classmethod
    def working(cls) -> Place:
        """Of what no file states."""
        return cls(Path.cwd())


Leaf = tuple[dict[str, Any], Signature]
"""What a choice states, and what it takes."""


def anchored(content: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """The content of a study with its paths, absolute."""
    made = dict(content)
    base = content.get("base")
    if isinstance(base, Mapping):
        made["base"] = _section(RunConfig, base, place)
    if isinstance(axes := content.get("axes"), Mapping):
        every = [
            {path: value} for path, values in axes.items() if isinstance(values, list) for value in values
        ]
        made["axes"] = {
            path: list(map(_way(path, [base, *every], place), values)) if isinstance(values, list) else values
            for path, values in axes.items()
        }
    if isinstance(arms := content.get("arms"), list):
        made["arms"] = [_arm(arm, base, place) if isinstance(arm, Mapping) else arm for arm in arms]
    if isinstance(prices := content.get("prices"), str):
        made["prices"] = str(place.folder / Path(prices).expanduser())
    return made


def anchored_override(path: Any, value: Any, stated: Sequence[Any], place: Place) -> Any:
    """The value of a dotted path with its paths absolute.

    stated: the base and the overrides that may say which choice the path leads into.
    """
    return _way(path, stated, place)(value)


def _way(path: Any, stated: Sequence[Any], place: Place) -> Callable[[Any], Any]:
    """The function that makes the paths in the values of one dotted path absolute."""
    parts = long_path(path).split(".") if isinstance(path, str) else []
    model: type[BaseModel] = RunConfig
    for depth, part in enumerate(parts):
        if (field := model.model_fields.get(part)) is None:
            break
        rest, kind = parts[depth + 1 :], _kind_of(field)
        if kind is not None and rest:
            choices = [found for each in stated for found in _at(each, parts[: depth + 1])]
            into = [leaf for choice in choices for leaf in _leaves(kind, choice, rest[:-1], place)]
            return partial(_argument, kind, into, rest[-1], place)
        if not rest:
            return partial(_field_named, part, field, place)
        if (inner := _model_of(field)) is None:
            break
        model = inner
    return lambda value: value


def _arm(arm: Mapping[str, Any], base: Any, place: Place) -> dict[str, Any]:
    stated = [base, *({path: value} for path, value in arm.items())]
    return {path: anchored_override(path, value, stated, place) for path, value in arm.items()}


def _section(model: type[BaseModel], content: Mapping[str, Any], place: Place) -> dict[str, Any]:
    fields = model.model_fields
    return {
        name: _field_named(name, fields[name], place, value) if name in fields else value
        for name, value in content.items()
    }


def _field_named(name: str, field: FieldInfo, place: Place, value: Any) -> Any:
    """As `_field`; a value in the short form of a section stays in it where there is no path in it."""
    long = long_form(name, value)
    made = _field(field, place, long)
    return value if made == long else made


def _field(field: FieldInfo, place: Place, value: Any) -> Any:
    if (kind := _kind_of(field)) is not None:
        several = isinstance(value, list) and kind.several is None
        return [_choice(kind, each, place) for each in value] if several else _choice(kind, value, place)
    if (model := _model_of(field)) is not None:
        return _section(model, value, place) if isinstance(value, Mapping) else value
    hint = field.annotation
    return of_hint(hint, value, place.folder, also_text=True) if is_path(hint) else value


def _choice(kind: Kind[Any], value: Any, place: Place) -> Any:
    """A choice, or several, in any of the forms of a study file; as it was where there is no path in it."""
    if kind.several is not None and (parts := summands(value)) is not None:
        made = [_choice(kind, part, place) for part in parts]
        return made if made != parts else value
    if (stated := _stated(kind, value, place)) is None:
        return value
    name, arguments, signature = stated
    made_arguments = {
        key: _value(kind, signature.hints.get(key), argument, place) for key, argument in arguments.items()
    }
    return {"name": name, **made_arguments} if made_arguments != arguments else value


def _value(kind: Kind[Any], hint: Any, value: Any, place: Place) -> Any:
    """An argument of a choice."""
    if kind.is_several(hint):
        return [_choice(kind, each, place) for each in value] if isinstance(value, list | tuple) else value
    if (inner := kind.nested(hint, value)) is not None:
        return _choice(inner, value, place)
    return of_hint(hint, value, place.folder, also_text=True) if is_path(hint) else value


def _argument(kind: Kind[Any], leaves: Sequence[Leaf], name: str, place: Place, value: Any) -> Any:
    """The value of an argument of a choice, which is one of `leaves`."""
    for arguments, signature in leaves:
        made = _value(kind, signature.hints.get(name), value, place)
        if made != value or name in arguments:
            return made
    return value


def _leaves(kind: Kind[Any], choice: Any, parts: Sequence[str], place: Place) -> Iterator[Leaf]:
    """The arguments and signatures of the choices at a dotted path within a choice."""
    if kind.several is not None and (several := summands(choice)) is not None:
        choice = {"name": kind.several[0], kind.several[1]: several}
    if (stated := _stated(kind, choice, place)) is None:
        return
    _, arguments, signature = stated
    if not parts:
        yield arguments, signature
        return
    inner, hint = arguments.get(parts[0]), signature.hints.get(parts[0])
    if kind.is_several(hint) and isinstance(inner, list | tuple):
        for each in inner:
            known = _stated(kind, each, place) if len(parts) > 1 else None
            if known is not None and known[0] == parts[1]:
                yield from _leaves(kind, each, parts[2:], place)
    elif inner is not None:
        yield from _leaves(kind.nested(hint, inner) or kind, inner, parts[1:], place)


def _stated(kind: Kind[Any], value: Any, place: Place) -> tuple[str, dict[str, Any], Signature] | None:
    """Name and arguments by name of one choice, and what it takes; None where it cannot be read."""
    try:
        choice = Choice.model_validate(value)
        signature = kind.signature(choice.name, kind.own(choice.name, place.roots))
    except ValueError:
        return None
    if len(choice.positional) > len(signature.parameters):
        return None
    by_position = dict(zip((p.name for p in signature.parameters), choice.positional, strict=False))
    if by_position.keys() & choice.arguments.keys():
        return None
    return choice.name, {**by_position, **choice.arguments}, signature


def _at(content: Any, parts: Sequence[str]) -> Iterator[Any]:
    """The values of the field at a dotted path in a section of a run, or in an override `{dotted path: value}`."""
    if not isinstance(content, Mapping):
        return
    for key, given in content.items():
        stated = long_path(key).split(".") if isinstance(key, str) else []
        value = long_form(key, given)
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
