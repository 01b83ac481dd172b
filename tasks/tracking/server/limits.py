"""MLflow's limits on names and values; longer ones are shortened with a digest before they are sent.

The limits are those of MLflow's checks and of the columns of its databases, which SQLite does not enforce and
PostgreSQL does. What is shortened here stands in full in `study.yaml` and `config.yaml`, artifacts of the run.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from mlflow.entities import Dataset, Param
from mlflow.utils.validation import (
    MAX_DATASET_NAME_SIZE,
    MAX_DATASET_SCHEMA_SIZE,
    MAX_DATASET_SOURCE_SIZE,
    MAX_ENTITY_KEY_LENGTH,
    MAX_PARAM_VAL_LENGTH,
)

from federated.foundation.texts import digest, distinct, in_a_line, shortened, visible

LONGEST_NAME = 250
"""Of an experiment and of a run: the columns have 256 and 250 characters."""

LONGEST_TAG = 5_000
"""Older servers take no more; newer ones 8,000."""

_FIRST_CLASSES, _LONGEST_CLASS = 1_000, 80
_NOT_IN_A_KEY = re.compile(r"[^/\w.\- :]")


def name_of(text: str) -> str:
    """The name of an experiment or a run."""
    return distinct(in_a_line(text), LONGEST_NAME)


def tag_of(text: str) -> str:
    """The value of a tag. A long one keeps its beginning and ends in a digest."""
    return distinct(visible(text), LONGEST_TAG)


def tags_of(tags: Mapping[str, str]) -> dict[str, str]:
    """The values of tags."""
    return {name: tag_of(value) for name, value in tags.items()}


@cache
def key_of(text: str) -> str:
    """The name of a parameter or metric: what is not allowed there is an underscore, and a digest tells two apart."""
    kept = _NOT_IN_A_KEY.sub("_", text)
    clean = posixpath.normpath(kept).strip("/. ") or "_"
    return kept if kept == clean == text and len(text) <= MAX_ENTITY_KEY_LENGTH else _with_digest(clean, text)


def parameters_of(values: Mapping[str, Any]) -> list[Param]:
    """Parameters by name. Long values keep their beginning and end in a digest."""
    return [
        Param(key_of(name), distinct(visible(str(value)), MAX_PARAM_VAL_LENGTH))
        for name, value in values.items()
    ]


def dataset_of(
    name: str, digest: str, source: str, schema: Mapping[str, Any], profile: Mapping[str, Any]
) -> Dataset:
    """A data set as a run's input. source: a path or URL; schema: of thousands of classes it names the first."""
    stated = json.dumps(schema)
    if len(stated) > MAX_DATASET_SCHEMA_SIZE:
        stated = json.dumps({**schema, **_few(schema["classes"])})
    return Dataset(
        name=distinct(in_a_line(name), MAX_DATASET_NAME_SIZE),
        digest=digest,
        source_type="local",
        # As JSON, a character outside ASCII takes up to twelve.
        source=json.dumps({"uri": shortened(visible(source), MAX_DATASET_SOURCE_SIZE // 13)}),
        schema=stated,
        profile=json.dumps(profile),
    )


def _few(classes: Sequence[str]) -> dict[str, Any]:
    """The number of classes, and the names of the first ones."""
    return {
        "number_of_classes": len(classes),
        "classes": [shortened(name, _LONGEST_CLASS) for name in classes[:_FIRST_CLASSES]],
    }


def _with_digest(kept: str, text: str) -> str:
    return f"{kept[: MAX_ENTITY_KEY_LENGTH - 9]}-{digest(text)}"
