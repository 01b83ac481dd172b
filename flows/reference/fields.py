"""The page of the study file: one table per section, from the config classes and their JSON schema."""

import json
from collections.abc import Iterator, Mapping
from inspect import getdoc
from typing import Any, NamedTuple, get_args

from pydantic.fields import FieldInfo

from federated.choices.choice import Kind
from federated.config.section import Frozen
from federated.study.study import StudyConfig
from flows.reference.types import in_a_cell, type_in_words

_INTRODUCTION = """# The study file

Every field, generated from the code by `make docs`. [Study files](../study-files.md) explains how they are used.

A field is named by its dotted path: `local.learning_rate` is `learning_rate` in the mapping `local`. The paths of
`base` are those that `axes`, `arms` and `--set` take. A field without a default must be stated. Lengths of training are
in epochs, steps or rounds; sizes in examples or clients; memory in MB.
"""


class _Section(NamedTuple):
    """One section of the file. path: dotted, within what it stands in; empty for the outermost fields."""

    title: str
    path: str
    config: type[Frozen]


def fields_page() -> str:
    """The page as Markdown."""
    schema = StudyConfig.model_json_schema()
    schemas = {**schema["$defs"], "StudyConfig": _stated(schema)}
    parts = [_INTRODUCTION]
    for section in _sections(_Section("The study", "", StudyConfig)):
        parts.append(_table(section, schemas[section.config.__name__]["properties"]))
    return "\n".join(parts)


def _stated(schema: Mapping[str, Any]) -> Any:
    """The schema of a study that is written out, beside that of the path of one."""
    stated = next(each for each in schema["anyOf"] if each.get("type") != "string")
    return schema["$defs"][stated["$ref"].rpartition("/")[2]] if "$ref" in stated else stated


def _sections(section: _Section) -> Iterator[_Section]:
    """The section, then those within it."""
    yield section
    for name, field in section.config.model_fields.items():
        if config := _section_of(field):
            path = "" if config is StudyConfig.model_fields["base"].annotation else f"{section.path}{name}."
            title = name if section.config is StudyConfig else f"{section.path}{name}"
            yield from _sections(_Section(title, path, config))


def _section_of(field: FieldInfo) -> type[Frozen] | None:
    for hint in (field.annotation, *get_args(field.annotation)):
        if isinstance(hint, type) and issubclass(hint, Frozen):
            return hint
    return None


def _table(section: _Section, properties: Mapping[str, Any]) -> str:
    lines = [f"## {section.title}", "", getdoc(section.config) or "", ""]
    lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
    lines += [_row(section, name, properties[name]) for name in section.config.model_fields]
    return "\n".join(lines) + "\n"


def _row(section: _Section, name: str, schema: Mapping[str, Any]) -> str:
    field = section.config.model_fields[name]
    inner = _section_of(field)
    kind = next((each for each in field.metadata if isinstance(each, Kind)), None)
    title = name if section.config is StudyConfig else f"{section.path}{name}"
    words = type_in_words(schema, kind.name if kind else None, title if inner else None)
    cells = [f"`{section.path}{name}`", words, _default(field, inner), schema.get("description", "")]
    return "| " + " | ".join(in_a_cell(cell) for cell in cells) + " |"


def _default(field: FieldInfo, inner: type[Frozen] | None) -> str:
    if field.is_required():
        return "must be stated"
    value = field.get_default(call_default_factory=True)
    if inner is not None and value is not None:
        return "its defaults"
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else (f"`{value}`" if value else "empty")
