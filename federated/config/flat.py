"""A config as dotted paths and values, as MLflow and reports hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
