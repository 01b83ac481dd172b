"""The content of a study file, before any check of its meaning."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from federated.config.fields.dotted_paths import as_mapping
from federated.config.fields.short_forms import long_form, long_path
from federated.foundation.errors import BadInput
from federated.study.absolute_paths import Place, anchored_override
from federated.study.file_size import text_of
from federated.study.yaml_values import fault_in_words, values_of

_KINDS_OF_YAML: dict[type, str] = {list: "a list", str: "a text"}
_TABLES = (".csv", ".tsv", ".parquet", ".pq", ".jsonl")


def content_of(path: Path, kind: str = "study file", holds: str = "name and base") -> dict[str, Any]:
    """The YAML of a study file, before any check; or of a file of another kind, which is a mapping too."""
    text = text_of(path, kind)
    try:
        content = values_of(text)
    except (yaml.YAMLError, ValueError) as error:
        raise BadInput(f"the {kind} {path} is not valid YAML: {fault_in_words(error)}") from error
    if not isinstance(content, dict):
        found = "nothing" if content is None else _KINDS_OF_YAML.get(type(content), "a single value")
        table = f"; `./fedstudy init {path}` makes a study of a table" if path.suffix in _TABLES else ""
        raise BadInput(f"the {kind} {path} must be a mapping with {holds}, got {found}{table}")
    return content


def apply_setting(content: dict[str, Any], setting: str, beside_base: Collection[str] = ()) -> None:
    """Put one `dotted.path=value` into the base of a study file's content. Raises BadInput.

    beside_base: the fields of a study that are none of the base.
    """
    path, equals, text = setting.partition("=")
    path = path.strip().removeprefix("base.")
    if not equals or not path:
        raise BadInput(f"--set {setting!r}: write dotted.path=value, such as local.learning_rate=0.05")
    if (first := path.partition(".")[0]) in beside_base:
        instead = (
            "state --seeds 0-4, or change it in the file" if first == "seeds" else "change it in the file"
        )
        raise BadInput(f"--set {setting!r}: {first} is no field of the base run; {instead}")
    axes = content.get("axes")
    for axis in axes if isinstance(axes, dict) else ():
        if f"{path}.".startswith(f"{axis}."):
            raise BadInput(
                f"--set {setting!r}: {axis} is an axis of this study, so the base's value is never used"
            )
    parts = ["base", *long_path(path).split(".")]
    place = content
    try:
        for part in parts[:-1]:
            there = long_form(part, place.get(part))
            place[part] = as_mapping({} if there is None else there, path)
            place = place[part]
        value = anchored_override(path, values_of(text), [content["base"]], Place.working())
        place[parts[-1]] = value
    except (ValueError, yaml.YAMLError) as error:
        raise BadInput(f"--set {setting!r}: {fault_in_words(error)}") from error
