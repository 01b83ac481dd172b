"""A config as a value and as a schema, and what only the data can decide."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from federated.config.run import RunConfig
from federated.foundation.errors import BadInput, readable
from federated.run.setup import prepare
from tests.test_config import BASE


def test_every_complaint_has_a_line_of_its_own() -> None:
    with pytest.raises(ValidationError) as error:
        RunConfig(**{**BASE, "rounds": 0, "seed": -1, "local": {"lr": 1}})
    assert [line.partition(":")[0] for line in readable(error.value).splitlines()] == [
        "local.lr",
        "rounds",
        "seed",
    ]


def test_a_config_is_immutable_and_can_be_a_key() -> None:
    config = RunConfig(**BASE)
    with pytest.raises(ValidationError, match="frozen"):
        config.rounds = 5  # type: ignore[misc]
    assert {config: 1}[RunConfig(**BASE)] == 1


def test_a_cohort_larger_than_the_natural_clients_is_bad_input_once_the_data_is_there(
    own: Callable[[str], str],
) -> None:
    name = own(
        "def load():\n    return [[float(i)] for i in range(30)], [0.5 * i for i in range(30)], ['a', 'b', 'c'] * 10\n"
    )
    config = {"dataset": f"{name}:load", "partitioner": "by_client", "model": "linear", "rounds": 1}
    assert prepare(RunConfig(**config, cohort={"size": 3})).trainers.cohort_size == 3
    with pytest.raises(BadInput, match=r"cohort.size: 4 is larger than the federation of 3 clients"):
        prepare(RunConfig(**config, cohort={"size": 4}))


def test_a_stop_metric_that_is_not_measured_is_bad_input_that_lists_those_that_are() -> None:
    config = RunConfig(**BASE, stop={"patience": 1, "metric": "generalisation/unseen_accuracy"})
    with pytest.raises(
        BadInput, match=r"stop.metric: 'generalisation/unseen_accuracy' .* generalisation/test_macro_f1"
    ):
        prepare(config)


def test_a_json_schema_can_be_made_and_describes_every_field() -> None:
    schema = RunConfig.model_json_schema()
    json.dumps(schema)
    parts = {"RunConfig": schema, **schema["$defs"]}
    assert {"RunConfig", "Holdout", "LocalTraining", "Cohort", "Compression", "Stop", "Evaluation"} <= set(
        parts
    )
    undescribed = [
        f"{part}.{name}"
        for part, content in parts.items()
        for name, field in content.get("properties", {}).items()
        if not field.get("description")
    ]
    assert undescribed == []
