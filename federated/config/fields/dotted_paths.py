"""Dotted paths into a config: `local.learning_rate`, `partitioner.alpha`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from federated.choices.choice import Choice
from federated.choices.study_paths import path_texts
from federated.config.fields.field_names import suggestion
from federated.config.fields.short_forms import long_form, long_path


def with_value(config: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The config with the field at a dotted path replaced. Raises ValueError where there is no such field."""
    changed: dict[str, Any] = copy.deepcopy(dict(config))
    place, path = changed, long_path(path)
    parts = path.split(".")
    for depth, part in enumerate(parts):
        is_last = depth == len(parts) - 1
        # What arguments a choice takes is for the choice to say, once it is bound.
        if part not in place and not (is_last and "name" in place):
            hint = suggestion(".".join(parts[depth:]), place, flat(config), parts[:depth])
            raise ValueError(f"there is no field {path!r}; {hint}")
        if is_last:
            place[part] = value
        elif isinstance(place[part], list):
            return _with_value_in_list(changed, place, parts, depth, value)
        elif place[part] is None:
            above = ".".join(parts[: depth + 1])
            raise ValueError(
                f"there is no field {path!r}: what is above it is None, as {above} is left out; state {above} in base "
                "too"
            )
        else:
            place[part] = as_mapping(long_form(part, place[part]) if depth == 0 else place[part], path)
            place = place[part]
    return changed


def _with_value_in_list(
    changed: dict[str, Any], place: dict[str, Any], parts: list[str], depth: int, value: Any
) -> dict[str, Any]:
    """`changed` with the field below a list of choices replaced; the next part of the path is a choice's name."""
    path, name, rest = ".".join(parts), parts[depth + 1], ".".join(parts[depth + 2 :])
    listed = [as_mapping(each, path) for each in place[parts[depth]]]
    at = _only(name, [each.get("name") for each in listed], path)
    if not rest:
        raise ValueError(f"there is no field {path!r}; name an argument of {name}")
    listed[at] = with_value(listed[at], rest, value)
    place[parts[depth]] = listed
    return changed


def _only(name: str, names: list[Any], path: str) -> int:
    """The position of `name` in a list of choices. Raises ValueError unless it occurs exactly once."""
    if names.count(name) != 1:
        how = "more than once" if name in names else "not"
        raise ValueError(
            f"there is no field {path!r}: {name!r} is {how} in the list {', '.join(map(str, names))}"
        )
    return names.index(name)


def as_mapping(value: Any, path: str) -> dict[str, Any]:
    """The fields below a part of a path; a choice that was written as text becomes a mapping."""
    if isinstance(value, str):
        choice = Choice.model_validate(value)
        if choice.positional:
            raise ValueError(f"{path}: write {value!r} with the names of its arguments to vary one of them")
        return choice.model_dump()
    if not isinstance(value, dict):
        raise ValueError(f"there is no field {path!r}: what is above it is {value!r}")
    return dict(value)


def value_at(config: Any, path: str) -> Any:
    """The value of the field at a dotted path; a choice where it is one."""
    for part in long_path(path).split("."):
        config = _part(config, part)
    return config


def paths_at(config: Any, path: str) -> list[str]:
    """Every path of a file or folder in the field at a dotted path."""
    path = long_path(path)
    above, _, last = path.rpartition(".")
    holder, value = value_at(config, above) if above else config, value_at(config, path)
    if isinstance(holder, Choice):
        return [] if last == "name" else holder.paths(last)
    if isinstance(value, Choice):
        return value.paths()
    if isinstance(value, tuple) and all(isinstance(each, Choice) for each in value):
        return [found for each in value for found in each.paths()]
    if isinstance(value, BaseModel):
        return [found for name in type(value).model_fields for found in paths_at(value, name)]
    fields = type(holder).model_fields if isinstance(holder, BaseModel) else {}
    return path_texts(fields[last].annotation, value) if last in fields else []


def _part(value: Any, name: str) -> Any:
    """One step down a dotted path."""
    if isinstance(value, list | tuple) and all(isinstance(each, Choice) for each in value):
        return value[_only(name, [each.name for each in value], name)]
    if isinstance(value, Choice):
        return value.name if name == "name" else value.argument(name)
    return value[name] if isinstance(value, Mapping) else getattr(value, name)


def flat(content: Mapping[str, Any]) -> dict[str, Any]:
    """Every field by its dotted path; a choice gives its name and, below it, its arguments."""
    return dict(_flattened("", content))


def _is_choice(value: Any) -> bool:
    """Whether an element of a list is a choice, rather than a mapping that a person's own code takes."""
    return isinstance(value, dict) and isinstance(value.get("name"), str)


def _flattened(path: str, content: Mapping[str, Any]) -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in content.items():
        here = path if key == "name" and path else f"{path}.{key}".lstrip(".")
        if isinstance(value, list) and value and all(map(_is_choice, value)):
            flat.append((here, [each["name"] for each in value]))
            for each in value:
                flat += _flattened(f"{here}.{each['name']}", {k: v for k, v in each.items() if k != "name"})
        else:
            flat += _flattened(here, value) if isinstance(value, dict) and value else [(here, value)]
    return flat
