"""The results of an arm, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from federated.metrics import Metrics
from federated.metrics.dictionary import metric_of
from federated.metrics.names import higher_is_better, range_of, range_of_differences
from federated.report.findings.results import RunResult, arms_of, candidates
from federated.report.statistics.by_ranks import centre, rank_interval
from federated.report.statistics.paired import LEVEL, Interval, t_interval, within

_OF_THE_MODEL = ("generalisation/", "train/loss")


class BySeed(NamedTuple):
    """Of the finished runs of an arm, by seed: the final score, and all that was measured of the model."""

    scores: dict[int, float]
    curves: dict[int, list[tuple[int, Metrics]]]
    runs: dict[int, RunResult]


def outcomes_of(results: Sequence[RunResult], arm: str) -> BySeed:
    """The results of the finished runs of an arm."""
    runs = {run.seed: run for run in results if run.arm == arm and run.finished}
    return BySeed(_scores(results, arm), curves_by_seed(results, arm), runs)


def interval_over_seeds(
    runs: Sequence[RunResult], metric: str, level: float = LEVEL, *, robust: bool = False
) -> tuple[float | None, Interval | None]:
    """(mean, t interval of the mean) of a final metric over the finished runs of one arm that have it.

    robust: both by ranks, of Hodges and Lehmann and of Wilcoxon. The interval is cut where the metric ends, such as at
    0 and 1 for an accuracy, see `statistics.within`.
    """
    finals = (run.final(metric) for run in runs if run.finished)
    values = np.array([value for value in finals if value is not None], np.float64)
    if not len(values):
        return None, None
    made = rank_interval(values, level) if robust else t_interval(values, level)
    return centre(values, robust=robust), within(made, _ends(metric, runs[0].main_metric))


def _ends(metric: str, main_metric: str) -> tuple[float, float]:
    """The range of a metric; gaps and gains are differences of accuracies where the main metric is one."""
    known = metric_of(metric)
    is_difference = known is not None and known.difference
    return range_of_differences(main_metric) if is_difference else range_of(metric)


def _scores(results: Sequence[RunResult], arm: str) -> dict[int, float]:
    """Seed -> final main metric of the finished runs of an arm; what is not finite is no score."""
    finals = {run.seed: run.final(run.main_metric) for run in results if run.arm == arm and run.finished}
    return {seed: value for seed, value in finals.items() if value is not None and np.isfinite(value)}


def curves_by_seed(results: Sequence[RunResult], arm: str) -> dict[int, list[tuple[int, Metrics]]]:
    """Seed -> all that was measured of the model, round by round: equal to the bit where nothing differs.

    What is not a number is left out: it equals nothing, not even itself.
    """
    return {
        run.seed: [
            (at, {n: value for n, value in metrics.items() if n.startswith(_OF_THE_MODEL) and value == value})
            for at, metrics in run.history
        ]
        for run in results
        if run.arm == arm and run.finished
    }


def best_arm(results: Sequence[RunResult], *, robust: bool = False) -> tuple[str, float, str] | None:
    """(arm, its score, main metric) of the best among arms with the study's first main metric; no anchor.

    By means, or robust: by the estimates of Hodges and Lehmann, as differences are then. A value that is not finite is
    no score.
    """
    rivals = candidates(results)
    scores = {arm: list(outcomes_of(rivals, arm).scores.values()) for arm in arms_of(rivals)}
    metrics = {run.arm: run.main_metric for run in rivals if scores[run.arm]}
    if not metrics:
        return None
    metric = next(iter(metrics.values()))
    means = {
        arm: centre(np.array(scores[arm]), robust=robust)
        for arm, measured in metrics.items()
        if measured == metric
    }
    choose = max if higher_is_better(metric) else min
    arm = choose(means, key=lambda name: means[name])
    return arm, means[arm], metric


def num_rivals(results: Sequence[RunResult], metric: str) -> int:
    """Arms with a score in this main metric, among which the best was picked."""
    scored = [run for run in candidates(results) if run.main_metric == metric and run.finished]
    return sum(bool(outcomes_of(scored, arm).scores) for arm in arms_of(scored))
