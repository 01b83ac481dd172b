"""Names that do not exist, values of the wrong shape: the message says what was probably meant, or what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from federated.foundation.errors import BadInput
from federated.study.study import StudyConfig, read_study

BASE = {"dataset": "digits", "clients": 4, "model": "logistic", "rounds": 2}


def read(folder: Path, base: dict[str, object] | None = None, **top: object) -> StudyConfig:
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump({"name": "s", "base": BASE | (base or {}), **top}))
    return read_study(path)


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ({"rouds": 30}, "base.rouds: there is no such field; did you mean 'base.rounds'?"),
        ({"learning_rate": 0.1}, "base.learning_rate: .*; did you mean 'base.local.learning_rate'?"),
        ({"local": {"lerning_rate": 1}}, "did you mean 'base.local.learning_rate'?"),
        ({"uplink": "qsgd"}, "did you mean 'base.compression.uplink'?"),
        ({"compression": {"uplnk": "none"}}, "did you mean 'base.compression.uplink'?"),
        ({"evaluation": {"evry": 3}}, "did you mean 'base.evaluation.every'?"),
        ({"stop": {"patince": 3}}, "did you mean 'base.stop.patience'?"),
        (
            {"evaluation": {"personalisation": {"epoch": 1}}},
            "did you mean 'base.evaluation.personalisation.epochs'?",
        ),
        ({"seeds": [1]}, "did you mean 'seeds'?"),
        (
            {"xyzzy": 1},
            "base.xyzzy: there is no such field; fields here: dataset, partitioner, .*, device$",
        ),
        ({"partitioner": "dirichlet(alfa=1)"}, "no argument 'alfa'; did you mean 'alpha'\\? allowed: alpha,"),
        ({"model": "mlp hidden=[3]"}, "no model 'mlp hidden=\\[3\\]'; did you mean 'mlp'?"),
        ({"cohort": 5}, "base.cohort: must be a mapping, got 5; fields here: size, fraction, weighting$"),
        ({"model": "mlp(hidden=64)"}, "mlp.hidden: must be a list, such as \\[a, b\\], got 64"),
    ],
)
def test_a_field_of_the_base(tmp_path: Path, base: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read(tmp_path, base)


@pytest.mark.parametrize(
    ("top", "said"),
    [
        ({"axis": {}}, "axis: there is no such field; did you mean 'axes'?"),
        ({"seed": [0]}, "seed: there is no such field; did you mean 'seeds'?"),
        ({"rounds": 3}, "rounds: there is no such field; did you mean 'base.rounds'?"),
        ({"comparison": {"baselin": "best"}}, "did you mean 'comparison.baseline'?"),
        ({"axes": {"rouds": [1]}}, "there is no field 'rouds'; did you mean 'rounds'?"),
        ({"axes": {"base.rounds": [1]}}, "there is no field 'base.rounds'; did you mean 'rounds'?"),
        ({"axes": {"batch_size": [1]}}, "did you mean 'local.batch_size'?"),
        ({"axes": {"local/learning_rate": [1]}}, "did you mean 'local.learning_rate'?"),
        ({"arms": [{"cohort.sice": 2}]}, "did you mean 'cohort.size'?"),
        ({"axes": {"local.learning_rate": 0.1}}, "axes.local.learning_rate: must be a list, such as"),
        (
            {"axes": ["partitioner"]},
            "axes: must be a mapping, such as {name: value}, got \\['partitioner'\\]",
        ),
    ],
)
def test_a_field_of_the_study(tmp_path: Path, top: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read(tmp_path, **top)


@pytest.mark.parametrize("seeds", [3, "0-4", [], ["a"], [1.5], [-1], {"a": 1}, None, [[0]], True])
def test_seeds_that_are_no_list_of_whole_numbers(tmp_path: Path, seeds: object) -> None:
    with pytest.raises(
        BadInput, match=r"seeds: must be a (list of whole numbers from 0 on, such as \[0, 1, 2\]|number)"
    ):
        read(tmp_path, seeds=seeds)


def test_seeds_may_be_whole_numbers_in_any_writing(tmp_path: Path) -> None:
    assert read(tmp_path, seeds=[0, 1.0, "2"]).seeds == [0, 1, 2]


def test_an_option_sets_fields_of_the_base_alone(tmp_path: Path) -> None:
    read(tmp_path)
    for setting, said in {
        "seeds=[3]": "seeds is no field of the base run; state --seeds 0-4, or change it in the file",
        "axes.partitioner=[iid]": "axes is no field of the base run; change it in the file",
        "rouds=3": "did you mean 'base.rounds'?",
    }.items():
        with pytest.raises(BadInput, match=said):
            read_study(tmp_path / "s.yaml", [setting])
