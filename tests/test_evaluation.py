"""Metrics against scikit-learn and hand-worked cases."""

import importlib
import math
import threading

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.foundation.errors import Diverged
from federated.metrics.names import higher_is_better, metric_names, range_of, range_of_differences
from federated.metrics.scoring import scoring_of
from federated.metrics.tasks import CLASSIFICATION, REGRESSION, Task
from federated.run.setup import initial_state, prepare


def measured_of(outputs: torch.Tensor, targets: torch.Tensor, task: Task) -> dict[str, float]:
    scoring = scoring_of(task)
    return scoring.measured(scoring.predictions(outputs, targets))


def test_classification_measures_agree_with_scikit_learn():
    scores = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.randint(4, (200,), generator=torch.Generator().manual_seed(1))
    measured = measured_of(scores, targets, CLASSIFICATION)
    assert measured["loss"] == pytest.approx(
        log_loss(targets, torch.softmax(scores.double(), 1), labels=range(4))
    )
    assert measured["accuracy"] == pytest.approx(np.mean(scores.argmax(1).numpy() == targets.numpy()))


def test_macro_f1_hand_worked():
    predicted, true = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 2])
    measured = measured_of(torch.nn.functional.one_hot(predicted, 3).float(), true, CLASSIFICATION)
    # class 0: P 1/2, R 1, F1 2/3; class 1: P 1/2, R 1/2, F1 1/2; class 2: never predicted, 0
    assert measured["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert measured["accuracy"] == pytest.approx(0.5)


def test_regression_measures_hand_worked():
    measured = measured_of(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([1.0, 3.0, 2.0]), REGRESSION)
    assert measured == {
        "mse": pytest.approx(5 / 3),
        "mae": pytest.approx(1.0),
        "r2": pytest.approx(1 - 5 / 2),
    }


def test_r2_is_left_out_where_it_is_undefined():
    assert measured_of(torch.tensor([[1.0]]), torch.tensor([2.0]), REGRESSION) == {"mse": 1.0, "mae": 1.0}


def test_evaluation_covers_the_held_out_sets_that_exist_and_no_batch_size_matters():
    config = {
        "dataset": "digits",
        "model": "logistic",
        "clients": 5,
        "rounds": 1,
        "holdout": {"client": 0.2, "unseen_clients": 2, "validation": 0.1},
    }
    results = []
    for batch_size in (7, 1000):
        setup = prepare(RunConfig.model_validate({**config, "evaluation": {"batch_size": batch_size}}))
        results.append(evaluate(initial_state(setup), setup))
    sets = {"test": 360, "client": 200, "unseen": 200, "validation": 80}
    assert sorted(results[0]) == sorted(metric_names(scoring_of(CLASSIFICATION), sets)[1:])
    assert results[0] == pytest.approx(results[1])
    assert results[0]["generalisation/test_loss"] == pytest.approx(np.log(10))  # zero weights


def test_evaluation_does_not_train():
    setup = prepare(
        RunConfig.model_validate({"dataset": "digits", "model": "mlp", "clients": 5, "rounds": 1})
    )
    state = initial_state(setup)
    before = state.parameters.clone()
    evaluate(state, setup)
    assert torch.equal(state.parameters, before)


def test_outputs_that_are_not_finite_raise():
    setup = prepare(
        RunConfig.model_validate({"dataset": "digits", "model": "logistic", "clients": 5, "rounds": 1})
    )
    state = initial_state(setup)
    broken = type(state)(4, torch.full_like(state.parameters, float("inf")), {}, {})
    with pytest.raises(Diverged, match="round 4: the model's outputs on the test set"):
        evaluate(broken, setup)


@pytest.mark.parametrize(
    ("metric", "higher"),
    [
        ("train/loss", False),
        ("generalisation/test_mse", False),
        ("generalisation/test_mae", False),
        ("generalisation/test_accuracy", True),
        ("generalisation/client_macro_f1", True),
        ("generalisation/test_r2", True),
    ],
)
def test_direction_of_a_metric(metric, higher):
    assert higher_is_better(metric) is higher


OWN_LAYER = """
import threading
from torch import nn
SEEN = set()
class Own(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.layer = nn.Linear(64, outputs)
    def forward(self, x):
        SEEN.add(threading.get_ident())
        return self.layer(x.flatten(1))
def model(shape, outputs):
    return Own(outputs)
"""


@pytest.mark.parametrize("model", ["mlp(hidden=[16])", "logistic"])
def test_threads_change_nothing_of_an_evaluation(model: str) -> None:
    content = {"dataset": "digits", "model": model, "clients": 4, "rounds": 1, "holdout": {"client": 0.2}}
    measured = []
    for threads in (1, 3):
        more = {"orchestration": {"threads": threads}, "evaluation": {"batch_size": 17}}
        setup = prepare(RunConfig.model_validate({**content, **more}))
        measured.append(evaluate(initial_state(setup), setup))
    assert measured[0] == measured[1]


def test_a_model_with_layers_of_its_own_is_evaluated_by_one_thread(own) -> None:
    name = own(OWN_LAYER)
    content = {"dataset": "digits", "model": f"{name}:model", "clients": 4, "rounds": 1}
    more = {"orchestration": {"threads": 4}, "evaluation": {"batch_size": 5}}
    setup = prepare(RunConfig.model_validate({**content, **more}))
    seen = importlib.import_module(name).SEEN
    seen.clear()
    evaluate(initial_state(setup), setup)
    assert seen == {threading.get_ident()}


@pytest.mark.parametrize(
    ("metric", "ends"),
    [
        ("generalisation/test_accuracy", (0, 1)),
        ("generalisation/client_accuracy_worst_10_percent", (0, 1)),
        ("generalisation/unseen_macro_f1", (0, 1)),
        ("generalisation/client_mse_gini", (0, 1)),
        ("generalisation/test_calibration_error", (0, 1)),
        ("generalisation/test_r2", (-math.inf, 1)),
        ("generalisation/client_mse_mean", (0, math.inf)),
        ("train/loss", (-math.inf, math.inf)),
        ("privacy/epsilon", (0, math.inf)),
        ("generalisation/participation_gap", (-math.inf, math.inf)),
        ("generalisation/personalisation_gain", (-math.inf, math.inf)),
    ],
)
def test_the_range_of_a_metric_is_that_of_its_definition(metric: str, ends: tuple[float, float]) -> None:
    assert range_of(metric) == ends
    assert range_of_differences("generalisation/test_accuracy") == (-1, 1)
    assert range_of_differences("generalisation/test_r2") == (-math.inf, math.inf)
