"""The names of metrics: those that a run has, which direction is better, and the range of their values."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from federated.metrics.dictionary import metric_of
from federated.metrics.dictionary.stated import CHOOSING, stated
from federated.metrics.ranges import Ends
from federated.metrics.scoring import Scoring

GAPS = {"out_of_sample_gap": ("training", "client"), "participation_gap": ("client", "unseen")}
"""Name -> the two sets whose pooled measures are subtracted, see also `sides_of_gaps`."""

BY_GLOBAL = "client by the global model"
"""The participating clients' held-out examples, by the global model, where it is beside the clients' own and unseen
clients have it too."""


def sides_of_gaps(levels: Collection[str]) -> dict[str, tuple[str, str]]:
    """`GAPS` of what was measured: the model that unseen clients have is compared with itself, wherever there is one
    beside the clients' own, or the gap would be what a model of one's own gains as well."""
    return GAPS | ({"participation_gap": (BY_GLOBAL, "unseen")} if BY_GLOBAL in levels else {})


def metric_names(scoring: Scoring, held_out_sizes: Mapping[str, int]) -> list[str]:
    """The metrics that a stop rule can watch: the training loss and what every evaluation measures.

    held_out_sizes: examples of each set; R2 is undefined on a single one.
    """
    measured = [
        f"{name}_{measure.name}"
        for name, size in {"training": 2, **held_out_sizes}.items()
        for measure in scoring.pooled
        if size >= measure.least
    ]
    measured += [
        f"{name}_{measure.name}_{statistic}"
        for name in ("client", "unseen", *CHOOSING)
        if name in held_out_sizes
        for measure in scoring.spread
        for statistic in measure.statistics
    ]
    measured += [gap for gap, ends in GAPS.items() if {*ends} <= {"training", *held_out_sizes}]
    return ["train/loss", *(f"generalisation/{name}" for name in measured)]


def main_metric(scoring: Scoring, judged_on: str = "test") -> str:
    """The one number by which arms are compared: the main measure on the held-out set that judges."""
    return f"generalisation/{judged_on}_{scoring.main.name}"


def on_test(main_metric: str) -> str:
    """The main measure on the central test set, also where arms are compared on another one."""
    return main_metric.replace("/client_", "/test_", 1)


def higher_is_better(metric: str) -> bool:
    """The better direction of a metric. Raises ValueError for a metric without one, and for unknown metrics."""
    found = metric_of(metric)
    if found is None or found.better is None:
        raise ValueError(
            f"{metric}: " + ("there is no such metric" if found is None else "neither way is better")
        )
    return found.better == "higher"


def range_of(metric: str) -> Ends:
    """The lowest and the highest value that a metric can have. Raises KeyError where there is no such metric."""
    if (found := metric_of(metric)) is None:
        raise KeyError(metric)
    return found.ends


def range_of_differences(metric: str) -> Ends:
    """The same of the difference of two values of a metric."""
    low, high = range_of(metric)
    return low - high, high - low


def metric_label(metric: str) -> str:
    """`generalisation/test_macro_f1` -> `test macro F1`."""
    if metric == "train/loss":
        return "training loss"
    name = metric.rpartition("/")[2]
    found = stated(metric)
    if found is not None:
        return f"{found.held_out} {found.label} {found.statistic.replace('_', ' ')}".rstrip()
    return name.replace("_", " ")


def headline_of(main_metric: str, logged: Collection[str]) -> str:
    """The measure of gaps and of clients of a run, by its name in metrics: the main one, and of R² the MSE, unless a
    study asked for R² itself. logged: the metrics that the run has."""
    measure = main_metric.rpartition("/")[2].partition("_")[2]
    own = f"generalisation/client_{measure}_mean"
    return "mse" if measure == "r2" and own not in logged else measure


def worst_clients(main_metric: str, logged: Collection[str]) -> str:
    """The metric of the worst tenth of the clients, by the headline measure."""
    return f"generalisation/client_{headline_of(main_metric, logged)}_worst_10_percent"
