"""Measures of absolute errors."""

from __future__ import annotations

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


def _absolute(found: Predictions) -> Arrays:
    return (found.errors.abs().mean(dim=1).numpy(),)
