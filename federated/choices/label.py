"""The short label of a choice in names of arms, tables and messages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federated.choices.arguments import adapter
from federated.choices.study_paths import is_path, path_texts
from federated.choices.text import argument_text
from federated.user_code.signatures import Default

if TYPE_CHECKING:
    from federated.choices.choice import Choice, Kind


def label_of(choice: Choice, kind: Kind[Any], tails: Mapping[str, str]) -> str:
    """The choice as a short call: arguments that have their default value are left out.

    tails: what of a path is shown; of others the name of the file.
    """
    signature = kind.signature(choice.name, choice._own)
    hints = signature.hints
    defaults = {
        p.name: adapter(hints[p.name]).dump_python(p.default, mode="json")
        for p in signature.parameters
        if p.default is not p.empty and p.default is not Default.COMPUTED
    }
    stated = []
    for name in choice.arguments:
        value = choice.argument(name)
        if isinstance(value, type(choice)):
            stated.append(value.label(tails))
        elif kind.is_several(hints.get(name, Any)):
            return " + ".join(each.label(tails) for each in value)
        elif name not in defaults or value != defaults[name]:
            shown = with_tails(value, tails) if is_path(hints.get(name)) else value
            stated.append(argument_text(name, shown))
    short = choice.name.rpartition(":")[2]
    return f"{short}({', '.join(stated)})" if stated else short


def paths_of(choice: Choice, kind: Kind[Any], name: str) -> list[str]:
    """The paths in one argument of a choice, and in the choices within it."""
    value = choice.argument(name)
    if isinstance(value, type(choice)):
        return value.paths()
    hint = kind.signature(choice.name, choice._own).hints.get(name)
    return (
        [path for each in value for path in each.paths()]
        if kind.is_several(hint)
        else path_texts(hint, value)
    )


def with_tails(value: Any, tails: Mapping[str, str]) -> Any:
    """A value with every path in it as it is shown."""
    if isinstance(value, Mapping):
        return {key: with_tails(each, tails) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [with_tails(each, tails) for each in value]
    return tails.get(str(value), Path(value).name) if isinstance(value, str | Path) else value
