"""The names of metrics: those that a run has, which direction is better, and the range of their values."""

from __future__ import annotations

from collections.abc import Mapping

from federated.examples.examples import Task
from federated.metrics.dictionary import METRICS, Ends
from federated.metrics.measures import HEADLINE, STATISTICS

_MEASURES: dict[Task, tuple[str, ...]] = {
    "classification": ("loss", "accuracy", "macro_f1"),
    "regression": ("mse", "mae", "r2"),
}


GAPS = {"out_of_sample_gap": ("training", "client"), "participation_gap": ("client", "unseen")}
"""Name -> the two sets whose pooled measures are subtracted."""


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
    """The better direction of a metric. Raises ValueError for a metric without one, and for unknown metrics."""
    found = METRICS.get(metric)
    if found is None or found.better is None:
        raise ValueError(
            f"{metric}: " + ("there is no such metric" if found is None else "neither way is better")
        )
    return found.better == "higher"


def range_of(metric: str) -> Ends:
    """The lowest and the highest value that a metric can have. Raises KeyError where there is no such metric."""
    return METRICS[metric].ends


def range_of_differences(metric: str) -> Ends:
    """The same of the difference of two values of a metric."""
    low, high = range_of(metric)
    return low - high, high - low


def gap_sign(task: Task) -> int:
    """The sign that makes a gap positive where the outer set is worse: 1 for accuracy, -1 for errors."""
    return 1 if higher_is_better(f"generalisation/test_{HEADLINE[task]}") else -1


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
