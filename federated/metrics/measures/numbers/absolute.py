"""Measures of absolute errors."""

from __future__ import annotations

import numpy as np

from federated.metrics.measures.measure import Arrays, Measure, mean_of
from federated.metrics.measures.predictions import Predictions


def mae() -> Measure:
    """Mean absolute error, over outputs."""
    return Measure(
        "mae",
        "MAE",
        "lower",
        "target units",
        "mean absolute error on {set}",
        _absolute,
        mean_of,
        targets=("regression",),
        mean=True,
    )


def mape() -> Measure:
    """Mean absolute error as a share of the target, over outputs: 0.1 is 10 %.

    As in scikit-learn: targets near 0 make it huge.
    """
    return Measure(
        "mape",
        "MAPE",
        "lower",
        "share of the target",
        "mean absolute error as a share of the target, on {set}",
        _shares,
        mean_of,
        targets=("regression",),
        mean=True,
    )


def quantile_loss(quantile: float = 0.5) -> Measure:
    """Quantile (pinball) loss: least where the answer is this quantile of the target.

    As in scikit-learn; at 0.5 half the mean absolute error.

    quantile: between 0 and 1; at 0.9 answers that are too low cost nine times what answers that are too high do.
    """
    if not 0 < quantile < 1:
        raise ValueError(f"quantile must be between 0 and 1, got {quantile:g}")

    def arrays(found: Predictions) -> Arrays:
        errors = found.errors
        costs = quantile * (-errors).clamp(min=0) + (1 - quantile) * errors.clamp(min=0)
        return (costs.mean(dim=1).numpy(),)

    return Measure(
        f"quantile_loss_{quantile:g}",
        f"quantile loss at {quantile:g}",
        "lower",
        "target units",
        f"mean quantile loss at {quantile:g} on {{set}}",
        arrays,
        mean_of,
        targets=("regression",),
        mean=True,
        quantile=quantile,
    )


def _absolute(found: Predictions) -> Arrays:
    return (found.errors.abs().mean(dim=1).numpy(),)


def _shares(found: Predictions) -> Arrays:
    errors = found.errors
    sizes = found.targets.reshape(errors.shape).double().abs().clamp(min=float(np.finfo(np.float64).eps))
    return ((errors.abs() / sizes).mean(dim=1).numpy(),)
