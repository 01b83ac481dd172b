"""A choice as a person reads it in names of arms, tables and messages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from federated.choice_text import argument_text
from federated.signatures import Default

if TYPE_CHECKING:
    from federated.choice import Choice, Kind


def label_of(choice: Choice, kind: Kind[Any]) -> str:
    """The choice as a short call: arguments that have their default value are left out."""
    signature = kind.signature(choice.name, choice._own)
    hints = signature.hints
    defaults = {
        p.name: TypeAdapter(hints[p.name]).dump_python(p.default, mode="json")
        for p in signature.parameters
        if p.default is not p.empty and p.default is not Default.COMPUTED
    }
    stated = []
    for name in choice.arguments:
        value = choice.argument(name)
        if isinstance(value, type(choice)):
            stated.append(value.label())
        elif kind.is_several(hints.get(name, Any)):
            return " + ".join(each.label() for each in value)
        elif name not in defaults or value != defaults[name]:
            stated.append(argument_text(name, Path(value).name if hints.get(name) is Path else value))
    short = choice.name.rpartition(":")[2]
    return f"{short}({', '.join(stated)})" if stated else short
