"""A study file means what a person reads in it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from federated.config.run import RunConfig
from federated.extension_points.kinds import PARTITIONER
from federated.foundation.errors import BadInput, readable
from federated.study.study import read_study
from federated.study.yaml_values import text_of_values, values_of

BASE: dict[str, Any] = {"dataset": "digits", "model": "logistic", "clients": 8, "rounds": 3}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("020", 20),
        ("-010", -10),
        ("+5", 5),
        ("00", 0),
        ("089", 89),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", 1000),
        ("12_345_678", 12345678),
        ("1_0", "1_0"),
        ("0b11", "0b11"),
        ("1:30", "1:30"),
        ("1:30:00", "1:30:00"),
        ("1e3", 1000.0),
        ("1e-3", 0.001),
        ("1E+2", 100.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.5e-1", -0.05),
        (".", "."),
        ("yes", "yes"),
        ("NO", "NO"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("tRUE", "tRUE"),
        ("~", None),
        ("", None),
        ("null", None),
        ("Nil", "Nil"),
        ("2020-01-01", "2020-01-01"),
        ("2020-01-01 12:30:00", "2020-01-01 12:30:00"),
        ("'010'", "010"),
        ("!!int '010'", 10),
        ("!!str 010", "010"),
        ("!!float 3", 3.0),
        ("=", "="),
        ("{NO: 1, 2020-01-01: 2, 010: 3}", {"NO": 1, "2020-01-01": 2, 10: 3}),
        ("[&a {x: 1}, {<<: *a, y: 2}]", [{"x": 1}, {"x": 1, "y": 2}]),
    ],
)
def test_values_are_what_they_look_like(text: str, value: Any) -> None:
    found = values_of(text)
    assert found == value
    assert type(found) is type(value)


def test_infinity_and_no_number() -> None:
    assert values_of("-.inf") == -math.inf
    assert math.isnan(values_of(".NaN"))


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system [echo]",
        "!!python/name:os.system",
        "!!binary aGk=",
        "!!set {a}",
        "!!timestamp 2020-01-01",
        "!mine {a: 1}",
        "!!bool yes",
        "!!int 1:30",
        "!!float x",
        "1e999",
        "{a: 1, a: 2}",
        "{010: 1, 10: 2}",
        "{~: 1, null: 2}",
        "*unknown",
    ],
)
def test_what_means_nothing_plain_is_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        values_of(text)


@pytest.mark.parametrize(
    "value",
    [
        *("010", "1e3", "1e-3", "0o17", "089", "NO", "1:30", "2020-01-01"),
        *("1_000", "~", "true", "0x1F", "5.", "=", "<<"),
        *("", 1e-5, 1e300, 1000, True, None, -3, 0.1),
    ],
)
def test_what_is_written_is_read_back_by_this_reader_and_by_others(value: Any) -> None:
    text = text_of_values({"key": value, "list": [value]})
    assert values_of(text) == yaml.safe_load(text) == {"key": value, "list": [value]}


def written(folder: Path, base: str, more: str = "") -> Path:
    path = folder / "study.yaml"
    path.write_text(f"name: s\nbase: {{dataset: digits, model: logistic, {base}}}\n{more}")
    return path


def test_a_study_with_leading_zeros(tmp_path: Path) -> None:
    study = read_study(written(tmp_path, "clients: 010, rounds: 020", "seeds: [00, 01, 010]\n"))
    assert (study.base.clients, study.base.rounds, study.seeds) == (10, 20, [0, 1, 10])


def test_settings_are_read_by_the_same_rules(tmp_path: Path) -> None:
    path = written(tmp_path, "clients: 8, rounds: 3")
    study = read_study(path, ["rounds=012", "local.learning_rate=1e-3", "local.batch_size=1e2"])
    assert (study.base.rounds, study.base.local.learning_rate, study.base.local.batch_size) == (
        12,
        0.001,
        100,
    )
    with pytest.raises(BadInput, match="rounds: input should be a valid integer"):
        read_study(path, ["rounds=1:30"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounds": True}, "rounds: must be a number, got true"),
        ({"rounds": 1e30}, "rounds: must be a whole number, got 1e+30"),
        ({"rounds": 2.5}, "rounds: input should be a valid integer"),
        ({"clients": True}, "clients: must be a number, got true"),
        ({"seed": False}, "seed: must be a number, got false"),
        ({"cohort": {"size": True}}, "cohort.size: must be a number"),
        ({"cohort": {"fraction": True}}, "cohort.fraction: must be a number"),
        ({"local": {"batch_size": True}}, "local.batch_size: must be a number"),
        ({"local": {"epochs": True}}, "local.epochs: must be a"),
        ({"local": {"steps": [True, 3]}}, "local.steps: must be a"),
        ({"local": {"learning_rate": True}}, "local.learning_rate: must be a number"),
        ({"evaluation": {"every": True}}, "evaluation.every: must be a number"),
        ({"evaluation": {"personalisation": {"epochs": True}}}, "epochs: must be a number"),
        ({"engine": {"memory_mb": True}}, "engine.memory_mb: must be a number"),
        ({"orchestration": {"threads": True}}, "threads: must be a number"),
        ({"holdout": {"test": True}}, "holdout.test: must be a number"),
        ({"holdout": {"unseen_clients": True}}, "unseen_clients: must be a number"),
        ({"stop": {"patience": True}}, "stop.patience: must be a number"),
        ({"stop": {"target": True}}, "stop.target: must be a number"),
        ({"partitioner": "dirichlet(true)"}, "dirichlet.alpha: must be a number, got true"),
        (
            {"partitioner": {"name": "dirichlet", "alpha": 1, "min_size": True}},
            "dirichlet.min_size: must be a number",
        ),
        ({"model": "mlp([true])"}, "mlp.hidden: must be a number"),
        ({"model": "mlp([1e30])"}, "mlp.hidden: must be a whole number"),
        ({"compression": {"uplink": "error_feedback(qsgd(true))"}}, "qsgd.bits: must be a number"),
        ({"privacy": "clip(true)"}, "must be a number"),
    ],
)
def test_a_truth_is_no_number_and_a_float_beyond_counting_not_whole(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError) as error:
        RunConfig.model_validate({**BASE, **changes})
    assert message in readable(error.value)


def test_whole_floats_are_whole_numbers_and_truths_stay_truths() -> None:
    config = RunConfig.model_validate({**BASE, "rounds": 1e3, "compression": {"quality": False}})
    assert (config.rounds, type(config.rounds), config.compression.quality) == (1000, int, False)
    assert PARTITIONER.bind("dirichlet(1, balance=true)").arguments["balance"] is True


@pytest.mark.parametrize("seeds", ["[true]", "[1e30]", "[0.5]"])
def test_seeds_are_whole_numbers(tmp_path: Path, seeds: str) -> None:
    with pytest.raises(BadInput, match="seeds"):
        read_study(written(tmp_path, "clients: 8, rounds: 3", f"seeds: {seeds}\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("!!map [1]", "a list is tagged !!map, as only a mapping may be"),
        ("!!map x", "a single value is tagged !!map"),
        ("!!map", "a single value is tagged !!map"),
        ("!!seq {a: 1}", "a mapping is tagged !!seq, as only a list may be"),
        ("!!seq x", "a single value is tagged !!seq"),
        ("!!str [1]", "a list is tagged !!str, as only a single value may be"),
        ("!!int [1]", "a list is tagged !!int"),
        ("!!bool {a: 1}", "a mapping is tagged !!bool"),
        ("!!null [1]", "a list is tagged !!null"),
        ("!!null x", "'x' is tagged !!null and is none"),
        ("!!int x", "'x' is tagged !!int and is none"),
        ("!!float ''", "'' is tagged !!float and is none"),
        ("{!!map [1]: 2}", "a list is tagged !!map"),
        ("!<tag:yaml.org,2002:map> [1]", "a list is tagged !!map"),
        ("!!set {a}", "the tag !!set is not known here"),
        ("!!omap [a: 1]", "the tag !!omap is not known here"),
        ("!mine x", "the tag !mine is not known here"),
    ],
)
def test_a_tag_that_claims_what_is_not_there_is_one_error_with_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(f"name: s\nbase: {text}\n")
    with pytest.raises(BadInput, match=r"is not valid YAML: (?s:.)*line 2, column") as error:
        read_study(path)
    assert said in str(error.value)


def test_tags_that_say_what_is_there_change_nothing() -> None:
    assert values_of("{a: !!map {b: !!seq [1]}, c: !!null ~, d: !!null '', e: !!str 1, f: !!bool true}") == {
        "a": {"b": [1]},
        "c": None,
        "d": None,
        "e": "1",
        "f": True,
    }
