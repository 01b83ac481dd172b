"""Several target columns, several labels at once, and weights of examples, from a file to the measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.metrics import f1_score, hamming_loss, log_loss, r2_score

from federated.config.run import RunConfig
from federated.evaluation.constant import constant_metrics
from federated.evaluation.evaluate import evaluate
from federated.evaluation.final import generalisation
from federated.evaluation.outputs import Outputs
from federated.examples.examples import Examples
from federated.examples.reading import ColumnRead, ColumnRole, Reading
from federated.examples.user_data import as_examples
from federated.federation.data_table import data_read, every_column
from federated.federation.loading import load_examples
from federated.foundation.errors import BadInput
from federated.losses import LOSSES
from federated.metrics.measures import MEASURES, Predictions
from federated.preprocessing.answers import answers_of, columns_of
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare
from tasks.tracking.models.folder import answers_form

NUMBERS = np.random.default_rng(5)
SIZE = 240
INPUTS = NUMBERS.normal(size=(SIZE, 3))
SIGNS = INPUTS @ NUMBERS.normal(size=(3, 2)) > 0


def _frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "a": INPUTS[:, 0],
            "b": INPUTS[:, 1],
            "c": INPUTS[:, 2],
            "height": INPUTS[:, 0] * 2 + 1,
            "weight": INPUTS[:, 1] - INPUTS[:, 2],
            "left": SIGNS[:, 0].astype(int),
            "right": SIGNS[:, 1],
            "kg": np.where(INPUTS[:, 0] > 0, 300_000, 100_000),
        }
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("several") / "people.csv"
    _frame().to_csv(path, index=False)
    return path


def _config(file: Path, target: Any, task: str | None = None, **more: Any) -> RunConfig:
    dataset = {"name": "table", "path": str(file), "target": target, "task": task, "numeric": ["a", "b", "c"]}
    dataset |= {"categorical": [], **more.pop("table", {})}
    content = {"dataset": dataset, "clients": 4, "model": "linear", "rounds": 25, "holdout": {"client": 0.2}}
    return RunConfig.model_validate({**content, "local": {"learning_rate": 0.2}, **more})


def test_several_numbers_are_learnt_at_once(file: Path) -> None:
    setup = prepare(_config(file, ["height", "weight"]))
    assert setup.federation.examples.target_names == ("height", "weight")
    state, test = train_rounds(initial_state(setup), setup, 25), setup.federation.test
    true = _frame()[["height", "weight"]].to_numpy()[test]
    predicted = Outputs(setup).of(state.parameters, test).numpy()
    assert evaluate(state, setup)["generalisation/test_r2"] == pytest.approx(
        r2_score(true, predicted), rel=1e-5
    )
    assert r2_score(true, predicted) > 0.99


def test_several_labels_are_learnt_at_once(file: Path) -> None:
    setup = prepare(_config(file, ["left", "right"], "multilabel"))
    state, test = train_rounds(initial_state(setup), setup, 25), setup.federation.test
    found, true = evaluate(state, setup), SIGNS[test]
    predicted = Outputs(setup).of(state.parameters, test).numpy() > 0
    assert found["generalisation/test_label_f1"] == pytest.approx(f1_score(true, predicted, average="macro"))
    assert found["generalisation/test_label_accuracy"] == pytest.approx(1 - hamming_loss(true, predicted))
    assert found["generalisation/test_label_f1"] > 0.8
    constant = constant_metrics(setup)
    everything = f1_score(true, np.ones_like(true), average="macro")
    assert constant["generalisation/test_constant_label_f1"] == pytest.approx(everything)
    assert generalisation(state, setup).clients["label_f1"]


@pytest.mark.parametrize("name", ["label_loss", "label_accuracy", "label_f1"])
def test_measures_of_labels_are_scikit_learn_s(name: str) -> None:
    scores, true = NUMBERS.normal(size=(50, 4)), NUMBERS.integers(2, size=(50, 4))
    true[:, 3], scores[:, 3] = 0, -1  # a label that nobody has
    predicted, shares = scores > 0, 1 / (1 + np.exp(-scores))
    expected = {
        "label_loss": np.mean([log_loss(true[:, at], shares[:, at], labels=[0, 1]) for at in range(4)]),
        "label_accuracy": 1 - hamming_loss(true, predicted),
        "label_f1": f1_score(true, predicted, average="macro", zero_division=0),
    }
    found = MEASURES[name]().of(Predictions(torch.from_numpy(scores), torch.from_numpy(true).float()))
    assert found == pytest.approx(expected[name], abs=1e-12)


def test_weights_of_a_column_are_those_of_a_weighted_regression(file: Path) -> None:
    table = {"weights": "kg", "numeric": ["b"]}
    local = {"learning_rate": 0.3, "batch_size": None}
    config = _config(file, "height", "regression", table=table, local=local, rounds=120)
    setup = prepare(config)
    trained, frame = setup.federation.training, _frame()
    weights = setup.worker.work.weights.double().numpy()
    assert weights[trained].mean() == pytest.approx(1)
    assert weights.max() / weights.min() == pytest.approx(3)
    state = train_rounds(initial_state(setup), setup, 120)
    scaled = ((frame["b"] - frame["b"][trained].mean()) / frame["b"][trained].std(ddof=0)).to_numpy()[:, None]
    best = LinearRegression().fit(scaled[trained], frame["height"][trained], frame["kg"][trained])
    assert state.parameters.tolist() == pytest.approx([best.coef_[0], best.intercept_], abs=1e-3)


@pytest.mark.parametrize("role", get_args(ColumnRole))
def test_a_column_of_every_role_is_shown(role: ColumnRole) -> None:
    inputs = INPUTS.astype(np.float32)
    reading = Reading((ColumnRead("kg", role, "1 to 3", 0.0, 0),))
    examples = Examples("mine", inputs, inputs[:, 0], None, reading=reading)
    assert [row[0] for row in every_column(examples)] == ["kg"]
    assert [row[0] for row in data_read("mine", examples).rows] == ["kg"]


def test_the_column_of_weights_is_no_feature(file: Path) -> None:
    read = load_examples(_config(file, "height", table={"weights": "kg"}).dataset).reading
    assert {each.name: each.role for each in read.columns}["kg"] == "weights"


def test_weights_and_weights_of_classes_are_multiplied(file: Path) -> None:
    table = {"weights": "kg"}
    loss = {"name": "cross_entropy", "class_weights": {"0": 1, "1": 10}}
    setup = prepare(_config(file, "left", "classification", table=table, loss=loss, model="logistic"))
    weights = setup.worker.work.weights.numpy()
    share = np.where(INPUTS[:, 0] > 0, 3, 1) * np.where(SIGNS[:, 0], 10, 1)
    assert weights / weights.min() == pytest.approx(share, rel=1e-5)


def test_older_digests_and_keys_know_no_weights(file: Path) -> None:
    plain, weighted = (_config(file, "height", table=each) for each in ({}, {"weights": "kg"}))
    assert plain.run_key() != weighted.run_key()
    without = plain.model_dump(mode="json")
    del without["dataset"]["weights"]
    assert RunConfig.model_validate(without).run_key() == plain.run_key()
    digests = {load_examples(config.dataset).digest for config in (plain, weighted)}
    assert len(digests) == 2
    assert "kg" not in load_examples(weighted.dataset).inputs.columns


@pytest.mark.parametrize(
    ("target", "task", "table", "wrong"),
    [
        (["left", "right"], None, {}, "hold 0 and 1 alone: say `task: multilabel`"),
        (["left", "height"], "multilabel", {}, "the target column 'height' must hold 0 and 1"),
        (["left", "right"], "classification", {}, "for regression or multilabel"),
        (["left", "nothing"], "multilabel", {}, "the target column 'nothing' is not in"),
        ("height", None, {"weights": "c"}, "must not hold negative weights"),
        ("height", None, {"weights": "missing"}, "the weights column 'missing' is not in"),
    ],
)
def test_columns_that_cannot_be_targets_or_weights_are_refused(
    file: Path, target: Any, task: str | None, table: dict[str, Any], wrong: str
) -> None:
    if table.get("weights") == "c":
        table = {**table, "numeric": ["a", "b"]}
    with pytest.raises(BadInput, match=wrong):
        load_examples(_config(file, target, task, table=table).dataset)


@pytest.mark.parametrize(
    ("target", "table", "wrong"),
    [
        ([], {}, "target must name different columns"),
        (["left", "left"], {}, "target must name different columns"),
        ("left", {"weights": "left"}, "weights must be a column of its own"),
        ("left", {"weights": "a"}, "weights must not be a feature"),
        ("left", {"weights": "kg", "drop": ["kg"]}, "drop must not name the column of weights"),
        (["left", "right"], {"client": "right"}, "client must be another column"),
    ],
)
def test_roles_that_contradict_each_other_are_refused(
    file: Path, target: Any, table: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(ValueError, match=wrong):
        _config(file, target, table=table)


def test_a_person_s_own_data_may_have_weights_and_labels() -> None:
    inputs = INPUTS.astype(np.float32)
    made = as_examples({"inputs": inputs, "targets": INPUTS[:, 0], "weights": list(range(SIZE))}, "mine")
    assert made.weights.tolist() == list(range(SIZE))
    for weights, wrong in (
        ([-1.0] * SIZE, "must not be negative"),
        ([0] * SIZE, "all zero"),
        ([1], "1 entries"),
    ):
        with pytest.raises(BadInput, match=wrong):
            as_examples({"inputs": inputs, "targets": INPUTS[:, 0], "weights": weights}, "mine")
    labels = Examples("mine", inputs, SIGNS.astype(np.float32), None).as_stated("multilabel")
    assert labels.num_outputs == 2
    with pytest.raises(BadInput, match="must be 0 and 1"):
        Examples("mine", inputs, INPUTS.astype(np.float32), None).as_stated("multilabel")


def test_the_weights_of_an_archive_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, inputs=INPUTS, targets=SIGNS, count=np.arange(SIZE))
    given = {"name": "arrays", "path": str(path), "weights": "count", "task": "multilabel"}
    found = load_examples(RunConfig(dataset=given, clients=2, model="linear", rounds=1).dataset)
    assert found.weights.tolist() == list(range(SIZE))
    assert found.targets.tolist() == SIGNS.astype(float).tolist()


def test_answers_of_a_logged_model_name_labels_and_targets(file: Path) -> None:
    labels = load_examples(_config(file, ["left", "right"], "multilabel").dataset)
    outputs = torch.tensor([[2.0, -1.0], [0.5, 0.1], [-3.0, -4.0]])
    found = answers_of(answers_form(labels), outputs)
    assert found["labels"].tolist() == ["left", "left, right", ""]
    assert found["probability of left"].to_numpy() == pytest.approx(1 / (1 + np.exp([-2, -0.5, 3])))
    assert columns_of(answers_form(labels))["labels"] == "string"
    numbers = load_examples(_config(file, ["height", "weight"]).dataset)
    assert list(answers_of(answers_form(numbers), outputs)) == [
        "prediction of height",
        "prediction of weight",
    ]


def test_balanced_positive_weights_are_those_of_the_training_examples(file: Path) -> None:
    config = _config(file, ["left", "right"], "multilabel", loss="bce(positive_weights=balanced)")
    setup = prepare(config)
    trained = SIGNS[setup.federation.training]
    factors = torch.tensor((~trained).sum(axis=0) / trained.sum(axis=0), dtype=torch.float64)
    outputs = torch.from_numpy(NUMBERS.normal(size=(9, 2)))
    targets = torch.from_numpy(SIGNS[:9].astype(float))
    expected = torch.nn.BCEWithLogitsLoss(pos_weight=factors)(outputs, targets)
    assert float(setup.worker.work.loss(outputs, targets)) == pytest.approx(float(expected), rel=1e-12)
    # each client is alone there, and has the weights of all: losses compare
    alone = prepare(config.model_copy(update={"training": "local"}))
    assert float(alone.worker.work.loss(outputs, targets)) == pytest.approx(float(expected), rel=1e-12)


def test_a_label_that_all_or_none_have_is_not_balanced() -> None:
    learn = LOSSES["bce"](positive_weights="balanced").learn
    assert learn is not None
    targets = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 0]], np.float32)
    outputs, true = torch.zeros(1, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64)
    # log 2 each, times 1, 1 and 2 without the label for 1 with it
    assert float(learn(targets)(outputs, true)) == pytest.approx(np.log(2) * (1 + 1 + 2) / 3, rel=1e-12)
