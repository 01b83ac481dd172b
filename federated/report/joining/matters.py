"""The smallest difference that matters between scores of sites, where the study states it of another measure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from federated.report.findings.results import RunResult

_OF_SITES, _R2 = "generalisation/client_mse", "generalisation/client_r2"
_PERFECT = 1e-6
"""The share of the variance that is left unexplained, below which its size is lost in rounding."""


def delta_in(metric: str, main: str, delta: float, runs: Sequence[RunResult]) -> float:
    """`comparison.delta`, which is of the main measure, in the unit of the sites' `metric`; 0 where it has none there.

    R2 is 1 - MSE / variance of the same examples. So a difference of `delta` in R2 is one of `delta` variances in the
    mean squared error: those of the sites' held-out examples, taken together.
    """
    if metric == main.replace("/test_", "/client_"):
        return delta
    if (metric, main) == (_OF_SITES, _R2.replace("/client_", "/test_")):
        return delta * variance_held_out(runs)
    return 0.0


def variance_held_out(runs: Sequence[RunResult]) -> float:
    """That of the targets of the sites' held-out examples, the mean over seeds, by the errors that were logged.

    0 where no run says. Of several targets the mean over them, each by the part that it has in the error.
    """
    each = [variance for run in runs if run.finished and (variance := _variance(run))]
    return float(np.mean(each)) if each else 0.0


def _variance(run: RunResult) -> float | None:
    error, explained = run.final(_OF_SITES), run.final(_R2)
    if error is None or explained is None or not 1 - explained > _PERFECT:
        return None
    return error / (1 - explained)
