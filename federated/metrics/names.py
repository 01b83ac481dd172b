"""What a metric's name means: which metrics a run has, which way is better, and the range of their values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from federated.examples.examples import Task
from federated.metrics.measures import HEADLINE, STATISTICS

_MEASURES: dict[Task, tuple[str, ...]] = {
    "classification": ("loss", "accuracy", "macro_f1"),
    "regression": ("mse", "mae", "r2"),
}


GAPS = {"out_of_sample_gap": ("training", "client"), "participation_gap": ("client", "unseen")}
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
    measured += [gap for gap, ends in GAPS.items() if {*ends} <= {"training", *held_out_sizes}]
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


def gap_sign(task: Task) -> int:
    """What makes a gap positive where the outer set is worse: 1 for accuracy, -1 for errors."""
    return 1 if higher_is_better(HEADLINE[task]) else -1


_WORDS = {
    "accuracy": "accuracy",
    "loss": "loss",
    "macro_f1": "macro F1",
    "mse": "MSE",
    "mae": "MAE",
    "r2": "R²",
}


def metric_label(metric: str) -> str:
    """`generalisation/test_macro_f1` -> `test macro F1`."""
    if metric == "train/loss":
        return "training loss"
    family, _, name = metric.rpartition("/")
    held_out, _, measure = name.partition("_")
    if family == "generalisation" and measure in _WORDS:
        return f"{held_out} {_WORDS[measure]}"
    return name.replace("_", " ")
