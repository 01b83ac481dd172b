"""Constant answers beside the scores of a study's arms: their scores, and which arms do not beat them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from federated.metrics.constant_answer import constant_metric
from federated.metrics.names import higher_is_better
from federated.report.findings.by_seed import best_arm
from federated.report.findings.results import RunResult
from federated.report.statistics.paired import Interval, t_interval

_OF_OLDER_STORES = "test_constant_accuracy"
"""In the profile of the data of runs that logged no such metric: the accuracy of the most frequent class."""
_ACCURACY, _R2 = "generalisation/test_accuracy", "generalisation/test_r2"


def constant_of_run(run: RunResult, metric: str) -> float | None:
    """What a constant answer gets in a metric of a run; None where that is not known.

    Runs of older stores have it of the test accuracy alone, in the profile of their data; R2 is 0 by definition for
    the mean of the targets that are scored, which is the best constant.
    """
    logged = run.final(constant_metric(metric))
    if logged is not None:
        return logged
    if metric == _ACCURACY:
        return run.data.get(_OF_OLDER_STORES)
    return 0.0 if metric == _R2 else None


def gains_on_constant(results: Sequence[RunResult], arm: str, metric: str) -> np.ndarray:
    """How much better than a constant answer each finished seed of an arm is, float [n]; negative: worse."""
    sign = 1 if higher_is_better(metric) else -1
    pairs = [
        (run.final(metric), constant_of_run(run, metric))
        for run in results
        if run.arm == arm and run.finished
    ]
    gains = [sign * (own - constant) for own, constant in pairs if own is not None and constant is not None]
    return np.array([gain for gain in gains if np.isfinite(gain)], np.float64)


def constant_of(results: Sequence[RunResult], arm: str, metric: str) -> float | None:
    """What a constant answer gets for an arm's data, the mean over its finished seeds; None where it is not known."""
    found = [constant_of_run(run, metric) for run in results if run.arm == arm and run.finished]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None


def worse_than_constant(results: Sequence[RunResult], arm: str, metric: str) -> bool:
    """Whether an arm's mean score is no better than a constant answer's. False where that is not known."""
    gains = gains_on_constant(results, arm, metric)
    return len(gains) > 0 and float(gains.mean()) <= 0


def beats_constant(results: Sequence[RunResult], arm: str, metric: str) -> bool:
    """Whether an arm is better than a constant answer by more than noise over seeds; with one seed, at all.

    True where it is not known what a constant gets.
    """
    gains = gains_on_constant(results, arm, metric)
    interval = t_interval(gains)
    return not len(gains) or (float(gains.mean()) > 0 and (interval is None or interval.low > 0))


def best_against_constant(
    results: Sequence[RunResult], *, robust: bool = False
) -> tuple[str, str, float, Interval | None] | None:
    """(best arm, main metric, mean gain on a constant answer, its interval over seeds); None where it is not known."""
    best = best_arm(results, robust=robust)
    if best is None:
        return None
    arm, _, metric = best
    gains = gains_on_constant(results, arm, metric)
    return (arm, metric, float(gains.mean()), t_interval(gains)) if len(gains) else None
