"""Evaluation of the global model on held-out data and a sample of training data, pooled and by client."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from federated.evaluation.outputs import outputs_of, outputs_of_each
from federated.evaluation.personalisation import personalisation_metrics, personalised
from federated.evaluation.sets import EvaluatedSet, evaluated_alone, evaluated_sets, resampling
from federated.examples.examples import Task
from federated.foundation.errors import Diverged
from federated.metrics.calibration import confusion, macro_f1
from federated.metrics.client_intervals import ClientSums
from federated.metrics.measures import (
    HEADLINE,
    STATISTICS,
    distribution,
    example_measures,
    grouped_means,
    grouped_r2,
    grouped_sums,
)
from federated.run.state import Metrics, RunState
from federated.run.without_server import model_of

if TYPE_CHECKING:
    from federated.run.setup import Setup

_MEASURES: dict[Task, tuple[str, ...]] = {
    "classification": ("loss", "accuracy", "macro_f1"),
    "regression": ("mse", "mae", "r2"),
}


_GAPS = {"out_of_sample_gap": ("training", "client"), "participation_gap": ("client", "unseen")}
"""Name -> the two sets whose pooled measures are subtracted."""

_LESS_IS_BETTER = re.compile(r"(loss|mse|mae)(_|$)|_(gap|sd|gini|error)$")

_RANGES = (
    (re.compile(r"_(gap|gain)(_|$)"), (-math.inf, math.inf)),  # of accuracies or of squared errors
    (re.compile(r"_(gini|error)$|(accuracy|macro_f1)(_|$)"), (0.0, 1.0)),
    (re.compile(r"r2(_|$)"), (-math.inf, 1.0)),
    (re.compile(r"(loss|mse|mae)(_|$)|epsilon$"), (0.0, math.inf)),
)
"""The first pattern that is found in a metric's name -> its lowest and highest value."""


def metric_names(task: Task, held_out_sizes: Mapping[str, int]) -> list[str]:
    """The metrics that a stop rule can watch: the training loss and what every evaluation measures.

    held_out_sizes: examples of each set; R2 is undefined on a single one.
    """
    measured = [
        f"{name}_{measure}"
        for name, size in {"training": 2, **held_out_sizes}.items()
        for measure in _MEASURES[task]
        if measure != "r2" or size > 1
    ]
    measured += [
        f"{name}_{HEADLINE[task]}_{statistic}"
        for name in ("client", "unseen")
        if name in held_out_sizes
        for statistic in STATISTICS
    ]
    measured += [gap for gap, ends in _GAPS.items() if {*ends} <= {"training", *held_out_sizes}]
    return ["train/loss", *(f"generalisation/{name}" for name in measured)]


def main_metric(task: Task) -> str:
    """The one number by which arms are compared: accuracy, or R2, on the central test set."""
    return "generalisation/test_accuracy" if task == "classification" else "generalisation/test_r2"


def higher_is_better(metric: str) -> bool:
    """Losses, errors, gaps and inequality should fall, everything else should rise."""
    return _LESS_IS_BETTER.search(metric) is None


def range_of(metric: str) -> tuple[float, float]:
    """The lowest and the highest value that a metric can have; infinite where its name tells no end."""
    return next((ends for name, ends in _RANGES if name.search(metric)), (-math.inf, math.inf))


def range_of_differences(metric: str) -> tuple[float, float]:
    """The same of the difference of two values of a metric."""
    low, high = range_of(metric)
    return low - high, high - low


def evaluate(state: RunState, setup: Setup) -> Metrics:
    """`generalisation/*` of the global model on every evaluated set. Raises Diverged where it is not finite."""
    task, metrics = setup.federation.examples.task, Metrics()
    sums: dict[str, ClientSums] = {}
    for name, part, outputs, targets in evaluated(state, setup):
        examples = example_measures(outputs, targets, task)
        pooled = _pooled(examples, outputs, targets, task)
        metrics |= {f"{name}_{measure}": value for measure, value in pooled.items()}
        if part.sizes is not None:
            headline = examples[HEADLINE[task]]
            sums[name] = ClientSums(grouped_sums(headline, part.sizes), part.sizes)
            if name != "training":
                metrics |= _over_clients(name, HEADLINE[task], grouped_means(headline, part.sizes))
    options = setup.config.evaluation.personalisation
    if options is not None and options.at == "evaluations":
        found = personalised(state, setup)
        more = personalisation_metrics(found, task, resampling(setup.config.seed))
        metrics |= {name.removeprefix("generalisation/"): value for name, value in more.items()}
    sign = gap_sign(task)
    for gap, (inner, outer) in _GAPS.items():
        if inner in sums and outer in sums:
            metrics[gap] = sign * (sums[inner].mean() - sums[outer].mean())
    return {f"generalisation/{name}": value for name, value in metrics.items()}


def evaluated(state: RunState, setup: Setup) -> Iterator[tuple[str, EvaluatedSet, Tensor, Tensor]]:
    """(name, set, outputs [n, outputs], targets) of every evaluated set, on the CPU. Raises Diverged as above.

    The outputs are those of the global model; with local training, of the model of the client that has the example.
    """
    config, own = setup.config, setup.config.training == "local"
    make = evaluated_alone if own else evaluated_sets
    for name, part in make(setup.federation, config.evaluation.training_examples, config.seed).items():
        if own and part.sizes is not None:
            outputs = outputs_of_each(setup, partial(model_of, state, setup), part.indices, part.sizes)
        else:
            outputs = outputs_of(setup, state.parameters, part.indices)
        targets = setup.targets[torch.from_numpy(part.indices).to(setup.targets.device)]
        if not torch.isfinite(outputs).all():
            raise Diverged(f"round {state.round}: the model's outputs on the {name} set are not finite")
        yield name, part, outputs.cpu(), targets.cpu()


def gap_sign(task: Task) -> int:
    """What makes a gap positive where the outer set is worse: 1 for accuracy, -1 for errors."""
    return 1 if higher_is_better(HEADLINE[task]) else -1


def _over_clients(name: str, measure: str, values: np.ndarray) -> Metrics:
    spread = distribution(values, higher_is_better=higher_is_better(measure))
    return {f"{name}_{measure}_{statistic}": value for statistic, value in spread.items()}


def measures(outputs: Tensor, targets: Tensor, task: Task) -> Metrics:
    """The quality of outputs [N, outputs] against targets [N] or [N, outputs].

    Classification: loss (mean cross-entropy, nats), accuracy, macro_f1 (over the classes that occur in
    targets or predictions; 0 for one that is never predicted). Regression: mse, mae, r2 (averaged over outputs;
    left out below 2 examples, where it is undefined).
    """
    return _pooled(example_measures(outputs, targets, task), outputs, targets, task)


def _pooled(examples: dict[str, np.ndarray], outputs: Tensor, targets: Tensor, task: Task) -> Metrics:
    """As `measures`, of examples that are measured already: not scikit-learn, whose checks take milliseconds."""
    means = {measure: float(values.mean()) for measure, values in examples.items()}
    if task == "classification":
        return {**means, "macro_f1": macro_f1(confusion(outputs, targets))}
    if len(outputs) < 2:
        return means
    true = targets.reshape(outputs.shape).double().numpy()
    return {**means, "r2": float(grouped_r2(outputs.double().numpy(), true, np.array([len(true)]))[0])}
