"""The studies that ship, and parts of a study that are run alone."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from federated.federation.federation import partition_clients
from federated.foundation.errors import BadInput
from federated.study.study import StudyConfig, read_study
from tests.test_study import names

ROOT = Path(__file__).parent.parent
SHIPPED = sorted((ROOT / "studies").glob("*.yaml"))
WRITTEN = {"shakespeare", "finetune_text"}
"""Studies of a file that is not fetched but written, by the lines of a page."""


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_study_is_valid_and_called_after_its_file(path: Path, tmp_path: Path) -> None:
    (tmp_path / "written.jsonl").write_text("{}", encoding="utf-8")
    config = read_study(path, [f"dataset.path={tmp_path}/written.jsonl"] if path.stem in WRITTEN else [])
    assert config.name == path.stem
    assert config.description
    varied = (
        math.prod(len(values) for values in config.axes.values()) if config.axes else max(1, len(config.arms))
    )
    arms = [run for run in config.runs() if run.config.training == "federated"]
    assert len(arms) == varied * len(config.seeds)
    assert len(set(names(config))) == len(config.runs())


def test_studies_are_shipped() -> None:
    assert {"quickstart", "linear_regression"} <= {path.stem for path in SHIPPED}


def test_the_quickstart_varies_skew_and_compression_over_eight_seeds() -> None:
    study = read_study(ROOT / "studies" / "quickstart.yaml")
    assert study.comparison.looks == (len(study.seeds),)  # else the verdict would be that of fewer
    runs = study.runs()
    assert len(runs) == 32
    assert runs[0].name == "iid · none · seed 0"
    assert runs[-1].name == "dirichlet(alpha=0.1) · qsgd(bits=4) · seed 7"
    assert {run.arm.split(" · ")[1] for run in runs} == {"none", "qsgd(bits=4)"}
    assert {(run.config.dataset.name, run.config.clients) for run in runs} == {("digits", 20)}


def test_the_linear_regression_is_ten_clients_of_a_hundred_points() -> None:
    (run,) = read_study(ROOT / "studies" / "linear_regression.yaml").runs()
    assert run.config.clients == 10
    assert run.config.dataset.arguments["size"] * 0.8 / run.config.clients == 100
    assert run.config.cohort.size_among(10) == 5


def test_the_seven_sites_hold_digits_one_with_wrong_labels_and_one_as_a_copy() -> None:
    """By what scikit-learn has: Turku calls every digit by the next one, and Ulm has what Bergen has."""
    from sklearn.datasets import load_digits

    with np.load(ROOT / "studies" / "sites_of_digits.npz") as held:
        inputs, called, sites = (held[name] for name in ("inputs", "targets", "client_ids"))
    images, digits = load_digits(return_X_y=True)
    rows = np.r_[: len(digits), : len(digits) : 6]
    np.testing.assert_array_equal(np.rint(inputs.reshape(len(rows), -1) * (16 / 255)), images[rows])
    wrong = sites == "Turku"
    np.testing.assert_array_equal(called, (digits[rows] + wrong) % 10)
    copies = [inputs[sites == name] for name in ("Bergen", "Ulm")]
    np.testing.assert_array_equal(*copies)
    (run, *_) = read_study(ROOT / "studies" / "join_or_not.yaml").runs()
    assert partition_clients(run.config).names == tuple(sorted(set(sites)))


def test_a_study_of_some_arms_has_their_runs_and_keys():
    study = StudyConfig.model_validate(
        {
            "name": "s",
            "base": {"dataset": "digits", "model": "logistic", "clients": 5, "rounds": 1},
            "axes": {"partitioner": ["iid", "dirichlet(alpha=0.1)"], "local.epochs": [1, 2]},
            "seeds": [0, 1],
            "comparison": {"baseline": "iid · epochs=1", "delta": 0.02},
        }
    )
    arm = "dirichlet(alpha=0.1) · epochs=2"
    alone = study.only([arm])
    whole = [run for run in study.runs() if run.arm == arm]
    assert [(run.arm, run.config.run_key()) for run in alone.runs()] == [
        (run.arm, run.config.run_key()) for run in whole
    ]
    assert StudyConfig.model_validate(alone.model_dump(mode="json")) == alone
    with pytest.raises(BadInput, match="--arm 'iid' is not an arm of the study; allowed: iid · epochs=1, "):
        study.only(["iid"])


@pytest.mark.parametrize(
    ("comparison", "message"),
    [
        ({"baseline": "nobody"}, "comparison.baseline: 'nobody' is not an arm; allowed: best, iid"),
        ({"delta": 0}, "greater than 0"),
    ],
)
def test_a_baseline_or_delta_that_cannot_be_is_refused(comparison, message):
    base = {"dataset": "digits", "model": "logistic", "clients": 5, "rounds": 1}
    with pytest.raises(ValueError, match=message):
        StudyConfig.model_validate(
            {"name": "s", "base": base, "arms": [{"name": "iid"}], "comparison": comparison}
        )
