"""Tasks are values: one that this project does not have is trained, evaluated and reported on by its value alone."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, log_loss
from torch import Tensor
from torch.nn import functional as F

from federated.config.run import RunConfig
from federated.datasets import DATASETS
from federated.evaluation.evaluate import evaluate
from federated.evaluation.final import generalisation
from federated.evaluation.outputs import Outputs
from federated.examples.examples import BadData, Examples
from federated.losses import LOSSES, Loss
from federated.metrics.by_client import STATISTICS
from federated.metrics.dictionary import METRICS
from federated.metrics.measures import Predictions
from federated.metrics.names import main_metric, metric_names
from federated.metrics.scoring import scoring_of
from federated.metrics.tasks import CLASSIFICATION, REGRESSION, TASKS, Task
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare


def scores_of(outputs: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(outputs), outputs], dim=1)


BINARY = CLASSIFICATION._replace(
    name="binary",
    num_outputs=lambda classes, targets: 1,
    usual_loss="made_binary",
    answers=scores_of,
)
LOSSES_MADE = {
    "made_binary": Loss(
        ("classification",),
        lambda outputs, targets: F.binary_cross_entropy_with_logits(
            outputs[:, 0], targets.float(), reduction="none"
        ),
    ),
    "made_counts": Loss(
        ("regression",),
        lambda outputs, targets: F.poisson_nll_loss(outputs[:, 0], targets, reduction="none"),
    ),
}
COUNTS = REGRESSION._replace(
    name="counts",
    usual_loss="made_counts",
    answers=torch.exp,
)


def examples_of(task: Task) -> Examples:
    """Examples that a linear model of one output can learn."""
    numbers = np.random.default_rng(0)
    inputs = numbers.normal(size=(300, 3)).astype(np.float32)
    signal = inputs @ np.array([1.0, -1.0, 0.5], np.float32)
    if task.targets == "classification":
        return Examples("made", inputs, (signal > 0).astype(np.int64), ("no", "yes"), learnt_as=task)
    counts = numbers.poisson(np.exp(signal / 2)).astype(np.float32)
    return Examples("made", inputs, counts, None, learnt_as=task)


@pytest.fixture
def config_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Task], RunConfig]:
    def made(task: Task) -> RunConfig:
        monkeypatch.setitem(DATASETS, f"made_{task.name}", lambda: lambda: examples_of(task))
        monkeypatch.setitem(LOSSES, task.usual_loss, lambda: LOSSES_MADE[task.usual_loss])
        return RunConfig.model_validate(
            {
                "dataset": f"made_{task.name}",
                "clients": 6,
                "model": "linear",
                "rounds": 30,
                "local": {"learning_rate": 0.1},
                "holdout": {"client": 0.2, "unseen_clients": 2},
                "evaluation": {"personalisation": {"epochs": 1}},
            }
        )

    return made


@pytest.mark.parametrize("task", [BINARY, COUNTS], ids=lambda task: task.name)
def test_a_task_that_is_not_registered_runs_through(
    task: Task, config_of: Callable[[Task], RunConfig]
) -> None:
    setup = prepare(config_of(task))
    assert setup.federation.examples.num_outputs == 1
    before = evaluate(initial_state(setup), setup)
    state = train_rounds(initial_state(setup), setup, setup.config.rounds)
    after, found = evaluate(state, setup), generalisation(state, setup)
    assert after[main_metric(setup.scoring)] > before[main_metric(setup.scoring)] + 0.2
    sizes = {name: len(each) for name, each in setup.federation.held_out_sets().items()}
    assert set(metric_names(setup.scoring, sizes)) - {"train/loss"} == set(after)
    assert {*after, *found.metrics} <= set(METRICS)
    assert (found.confusion is None) == (task.targets == "regression")
    assert {measure.name for measure in task.measures} - {"macro_f1"} <= set(found.clients)


def test_one_output_for_two_classes_is_measured_as_scikit_learn_does(
    config_of: Callable[[Task], RunConfig],
) -> None:
    setup = prepare(config_of(BINARY))
    state = train_rounds(initial_state(setup), setup, 5)
    test = setup.federation.test
    outputs, true = (
        Outputs(setup).of(state.parameters, test)[:, 0].double(),
        examples_of(BINARY).targets[test],
    )
    shares, metrics = torch.sigmoid(outputs).numpy(), evaluate(state, setup)
    assert metrics["generalisation/test_loss"] == pytest.approx(log_loss(true, shares))
    assert metrics["generalisation/test_accuracy"] == accuracy_score(true, shares > 0.5)
    assert metrics["generalisation/test_macro_f1"] == pytest.approx(
        f1_score(true, shares > 0.5, average="macro")
    )
    assert generalisation(state, setup).confusion.table().sum() == len(test)


def test_targets_of_another_form_are_refused() -> None:
    with pytest.raises(BadData, match="the task binary needs names of classes"):
        Examples("made", np.ones((3, 1), np.float32), np.ones(3, np.float32), None, learnt_as=BINARY)
    with pytest.raises(BadData, match="the task counts needs numbers without classes"):
        Examples("made", np.ones((2, 1), np.float32), np.arange(2), ("a", "b"), learnt_as=COUNTS)


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_every_registered_task_measures_what_it_states_and_the_dictionary_knows_it(task: Task) -> None:
    outputs = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = outputs.argmax(1) if task.num_outputs(("a", "b"), np.ones((9, 3))) == 2 else outputs + 1
    scoring, measured = scoring_of(task), scoring_of(task).measured(Predictions(outputs, targets))
    assert tuple(measured) == tuple(measure.name for measure in task.measures)
    for held_out in ("test", "client", "unseen", "training"):
        assert {f"generalisation/{held_out}_{name}" for name in measured} <= set(METRICS)
    assert {f"generalisation/unseen_{task.headline}_{statistic}" for statistic in STATISTICS} <= set(METRICS)
    assert METRICS[main_metric(scoring)].every_round
    assert pickle.loads(pickle.dumps(task)) == task
