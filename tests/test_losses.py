"""Losses against independent formulas, their class weights, and what a run makes of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax, softmax
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, mean_poisson_deviance, mean_squared_error
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from federated.config.run import RunConfig
from federated.datasets import DATASETS
from federated.evaluation.evaluate import evaluate
from federated.examples.examples import Examples
from federated.extension_points.kinds import LOSS
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.losses import LOSSES
from federated.losses.own import own_loss
from federated.run.setup import initial_state, prepare

NUMBERS = np.random.default_rng(3)
SCORES, CLASSES = NUMBERS.normal(size=(9, 3)) * 3, np.array([0, 1, 2, 0, 0, 1, 2, 2, 0])
VALUES, TRUE = NUMBERS.normal(size=(9, 2)), NUMBERS.normal(size=(9, 2)) + 1
LABELS = NUMBERS.integers(2, size=(9, 3)).astype(float)
COUNTS = NUMBERS.poisson(2, size=(9, 2)).astype(float)
OF_CLASSES = log_softmax(SCORES, axis=1)
RIGHT = OF_CLASSES[np.arange(9), CLASSES]


def _poisson() -> np.ndarray:
    """Half the deviance, and what it leaves out."""
    deviance = np.array([mean_poisson_deviance(y, np.exp(o)) for y, o in zip(COUNTS, VALUES, strict=True)])
    saturated = np.where(COUNTS > 0, COUNTS - COUNTS * np.log(np.maximum(COUNTS, 1)), 0).mean(axis=1)
    return deviance / 2 + saturated


def _bce(factors: Any = (1, 1, 1)) -> np.ndarray:
    shares = expit(SCORES)
    each = -(np.array(factors) * LABELS * np.log(shares) + (1 - LABELS) * np.log(1 - shares))
    return each.mean(axis=1)


def _by_row(measure: Callable[..., float], **options: Any) -> np.ndarray:
    return np.array([measure(y, o, **options) for y, o in zip(TRUE, VALUES, strict=True)])


def _huber(delta: float) -> np.ndarray:
    size = np.abs(TRUE - VALUES)
    return np.where(size <= delta, size**2 / 2, delta * (size - delta / 2)).mean(axis=1)


EXPECTED: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {
    "cross_entropy": (SCORES, CLASSES, -RIGHT),
    "cross_entropy(label_smoothing=0.3)": (SCORES, CLASSES, -0.7 * RIGHT - 0.3 * OF_CLASSES.mean(axis=1)),
    "focal(gamma=1.5)": (
        SCORES,
        CLASSES,
        -((1 - softmax(SCORES, axis=1)[np.arange(9), CLASSES]) ** 1.5) * RIGHT,
    ),
    "bce": (SCORES, LABELS, _bce()),
    "bce(positive_weights=[1, 2, 0.5])": (SCORES, LABELS, _bce([1, 2, 0.5])),
    "mse": (VALUES, TRUE, _by_row(mean_squared_error)),
    "mae": (VALUES, TRUE, _by_row(mean_absolute_error)),
    "huber(delta=0.7)": (VALUES, TRUE, _huber(0.7)),
    "poisson": (VALUES, COUNTS, _poisson()),
    "quantile(level=0.8)": (VALUES, TRUE, _by_row(mean_pinball_loss, alpha=0.8)),
}


def test_every_loss_has_a_row() -> None:
    assert {LOSS.bind(call).name for call in EXPECTED} == set(LOSSES)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
def test_classes_that_are_numbers_may_be_weighed_by_number(loss: str) -> None:
    """In a study file `{0: 1, 1: 2}` has whole numbers for keys, and the classes have texts for names."""
    stated = LOSS.bind({"name": loss, "class_weights": {0: 1, "1": 2}})
    assert stated.arguments["class_weights"] == {"0": 1.0, "1": 2.0}
    weigh = stated.build().weigh
    assert weigh(np.array([1, 0]), [np.arange(2)], ("0", "1")).tolist() == [2.0, 1.0]


@pytest.mark.parametrize("call", EXPECTED)
def test_a_loss_is_what_its_formula_says(call: str) -> None:
    outputs, targets, expected = EXPECTED[call]
    loss, weights = LOSS.bind(call).build(), np.linspace(0, 2, 9)
    given = torch.from_numpy(outputs), torch.from_numpy(targets)
    assert loss.of_each(*given).numpy() == pytest.approx(expected, rel=1e-12, abs=1e-14)
    assert float(loss(*given)) == pytest.approx(expected.mean(), rel=1e-12)
    weighted = float(loss(*given, torch.from_numpy(weights)))
    assert weighted == pytest.approx((expected * weights).sum() / 9, rel=1e-12)


def test_the_usual_losses_are_torch_s_own_to_the_bit() -> None:
    scores, classes = torch.from_numpy(SCORES).float(), torch.from_numpy(CLASSES)
    assert torch.equal(LOSSES["cross_entropy"]()(scores, classes), F.cross_entropy(scores, classes))
    values, true = torch.from_numpy(VALUES).float(), torch.from_numpy(TRUE).float()
    assert torch.equal(LOSSES["mse"]()(values, true), F.mse_loss(values, true))
    assert torch.equal(LOSSES["mse"]()(values[:, :1], true[:, 0]), F.mse_loss(values[:, 0], true[:, 0]))


def test_focal_loss_has_a_gradient_where_the_model_is_sure() -> None:
    outputs = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    loss = LOSSES["focal"](gamma=0.5)(outputs, torch.tensor([0, 0]))
    (gradient,) = torch.autograd.grad(loss, outputs)
    assert torch.isfinite(gradient).all()
    assert float(loss.detach()) == pytest.approx(100)


def test_balanced_weights_are_scikit_learn_s_over_what_clients_train_on() -> None:
    holders = [np.array([0, 1]), np.array([2, 4, 5])]
    names = ("a", "b", "c")
    weigh = LOSSES["cross_entropy"](class_weights="balanced").weigh
    of_class = compute_class_weight("balanced", classes=np.arange(3), y=CLASSES[[0, 1, 2, 4, 5]])
    assert weigh(CLASSES, holders, names) == pytest.approx(of_class[CLASSES])
    by_client = LOSSES["cross_entropy"](class_weights="balanced_by_client").weigh(CLASSES, holders, names)
    assert by_client[[0, 1]] == pytest.approx([1, 1])
    assert by_client[[2, 4, 5]] == pytest.approx([1, 1, 1])
    alike = [np.array([0, 3, 1])]
    assert LOSSES["focal"](class_weights="balanced_by_client").weigh(CLASSES, alike, names)[
        [0, 3, 1]
    ] == pytest.approx([0.75, 0.75, 1.5])


@pytest.mark.parametrize("stated", [(1.0, 2.0, 5.0), {"c": 5, "b": 2, "a": 1}])
def test_stated_weights_are_by_class(stated: Any) -> None:
    weigh = LOSSES["cross_entropy"](class_weights=stated).weigh
    assert weigh(CLASSES, [], ("a", "b", "c")).tolist() == [1, 2, 5, 1, 1, 2, 5, 5, 1]


def _examples(classification: bool) -> Examples:
    inputs = NUMBERS.normal(size=(90, 3)).astype(np.float32)
    if classification:
        return Examples("made", inputs, np.tile(CLASSES, 10), ("a", "b", "c"))
    return Examples("made", inputs, inputs[:, 0] - 1, None)


def _config(
    monkeypatch: pytest.MonkeyPatch, loss: Any, classification: bool = True, **more: Any
) -> RunConfig:
    name = "made_classes" if classification else "made_numbers"
    monkeypatch.setitem(DATASETS, name, lambda: lambda: _examples(classification))
    model = "logistic" if classification else "linear"
    content = {"dataset": name, "clients": 4, "model": model, "rounds": 2, "loss": loss, **more}
    return RunConfig.model_validate(content)


@pytest.mark.parametrize(
    ("loss", "classification", "wrong"),
    [
        ("mse", True, "loss: mse is not for classification; use cross_entropy or focal"),
        ("focal", False, "loss: focal is not for regression; use mse or mae"),
        ("poisson", False, "loss: poisson: targets must not be negative"),
        ("cross_entropy(class_weights=[1, 2])", True, "2 weights for 3 classes"),
        ({"name": "focal", "class_weights": {"a": 1, "b": 1, "d": 3}}, True, "'c' has no weight"),
        ({"name": "focal", "class_weights": {"a": 1, "b": 1, "c": 1, "d": 3}}, True, "'d' is no class"),
    ],
)
def test_a_loss_that_does_not_suit_the_data_is_refused(
    monkeypatch: pytest.MonkeyPatch, loss: Any, classification: bool, wrong: str
) -> None:
    with pytest.raises(BadInput, match=wrong.replace("(", r"\(").replace("[", r"\[")):
        prepare(_config(monkeypatch, loss, classification))


@pytest.mark.parametrize(
    ("loss", "wrong"),
    [
        ("hinge", "there is no loss 'hinge'"),
        ("quantile(level=1)", "level must be between 0 and 1"),
        ("huber(delta=0)", "delta must be a finite number > 0"),
        ("focal(gamma=-1)", "gamma must be a finite number >= 0"),
        ("cross_entropy(label_smoothing=1)", "label_smoothing must be from 0 up to 1"),
        ("cross_entropy(class_weights=[1, -2])", "class_weights must be numbers from 0"),
        ("cross_entropy(class_weights=[0, 0])", "must not all be zero"),
        ("cross_entropy(class_weights=even)", "class_weights"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, loss: str, wrong: str
) -> None:
    with pytest.raises(ValueError, match=wrong):
        _config(monkeypatch, loss)


def test_a_loss_counts_in_the_run_key_where_it_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [_config(monkeypatch, loss).run_key() for loss in (None, "focal", "focal(gamma=1)")]
    assert len(set(keys)) == 3
    without = _config(monkeypatch, None).model_dump(mode="json")
    del without["loss"]
    assert RunConfig.model_validate(without).run_key() == keys[0]


def test_the_weights_of_a_run_are_those_of_its_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = prepare(_config(monkeypatch, "cross_entropy(class_weights=balanced)"))
    trained = setup.federation.training
    weights, targets = setup.worker.work.weights.numpy()[trained], setup.targets.numpy()[trained]
    sums = [weights[targets == name].sum() for name in range(3)]
    assert sums == pytest.approx([len(trained) / 3] * 3)
    assert prepare(_config(monkeypatch, None)).worker.work.weights is None


@pytest.mark.parametrize(
    ("function", "weighted", "wrong"),
    [
        (lambda outputs, targets: 1.0, False, "must return a tensor of floats, got a float"),
        (lambda outputs, targets: targets, False, "got a tensor of torch.int64"),
        (lambda outputs, targets: outputs, False, r"a loss for each example, \[9\], or their mean.*\[9, 3\]"),
        (lambda outputs, targets: outputs.mean(), True, "examples have weights here"),
    ],
)
def test_what_a_person_s_own_loss_returns_is_checked(
    function: Callable[..., Any], weighted: bool, wrong: str
) -> None:
    loss, weights = own_loss("mine:hinge", function), torch.ones(9) if weighted else None
    with pytest.raises(OwnCodeFailed, match=f"loss: mine:hinge.*{wrong}"):
        loss(torch.from_numpy(SCORES), torch.from_numpy(CLASSES), weights)


def test_measures_of_a_poisson_loss_are_of_expected_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = NUMBERS.normal(size=(90, 3)).astype(np.float32)
    counts = Examples("made", inputs, np.abs(inputs[:, 0]), None)
    monkeypatch.setitem(DATASETS, "made_counts", lambda: lambda: counts)
    setup = prepare(RunConfig(dataset="made_counts", clients=4, model="linear", rounds=2, loss="poisson"))
    (weight, bias), test = setup.model.module.state_dict().values(), setup.federation.test
    expected = np.exp(inputs[test] @ weight.numpy().T + bias.numpy())[:, 0]
    found = evaluate(initial_state(setup), setup)["generalisation/test_mse"]
    assert found == pytest.approx(mean_squared_error(counts.targets[test], expected), rel=1e-5)


OWN = """
import torch
from torch.nn import functional as F

def margin(outputs, targets, width: float = 1.0):
    return F.multi_margin_loss(outputs, targets, margin=width, reduction="none")
"""


@pytest.mark.slow
def test_a_person_s_own_loss_is_trained_on_by_its_name(
    monkeypatch: pytest.MonkeyPatch, own: Callable[[str], str]
) -> None:
    name = own(inspect.cleandoc(OWN))
    setup = prepare(_config(monkeypatch, {"name": f"{name}:margin", "width": 0.5}))
    scores, classes = torch.from_numpy(SCORES), torch.from_numpy(CLASSES)
    found = setup.worker.work.loss(scores, classes)
    assert torch.equal(found, F.multi_margin_loss(scores, classes, margin=0.5))


TRIED = """
import torch

count = []

def cuts(outputs, targets):
    return outputs.detach().mean() + 0 * outputs.detach().sum()

def logs(outputs, targets):
    return torch.log(0 * outputs).mean()

def counts(outputs, targets):
    count.append(1)
    return (outputs.mean() + 1) * len(count)

def changes(outputs, targets):
    targets += 1
    return outputs.mean()

def fails(outputs, targets):
    return outputs[:, targets.shape[1]].mean()
"""


@pytest.mark.parametrize(
    ("function", "wrong"),
    [
        ("cuts", "does not depend on the outputs"),
        ("logs", r"returns -inf on outputs \[8, 3\] and targets \[8\] before training"),
        ("counts", "returns something else"),
        ("changes", "changes the targets in place"),
        ("fails", r"fails on outputs \[8, 3\] and targets \[8\]: IndexError"),
    ],
)
def test_a_person_s_own_loss_is_tried_before_it_trains(
    function: str, wrong: str, monkeypatch: pytest.MonkeyPatch, own: Callable[[str], str]
) -> None:
    name = own(inspect.cleandoc(TRIED))
    with pytest.raises(OwnCodeFailed, match=f"loss: .*{function}.*{wrong}"):
        prepare(_config(monkeypatch, f"{name}:{function}"))


RIGHT_TARGETS = {
    "classification": torch.full((81,), 2),
    "multilabel": torch.ones(81, 3),
    "regression": torch.full((81,), 3.0),
}


@pytest.mark.parametrize("name", [name for name in LOSSES if LOSSES[name]().targets[0] in RIGHT_TARGETS])
def test_a_loss_says_whether_it_can_be_below_zero(name: str) -> None:
    loss = LOSSES[name]()
    targets = RIGHT_TARGETS[loss.targets[0]]
    outputs = torch.linspace(-6, 6, 81)[:, None].repeat(1, 1 if loss.targets[0] == "regression" else 3)
    assert bool((loss.of_each(outputs, targets) < 0).any()) is loss.negative
