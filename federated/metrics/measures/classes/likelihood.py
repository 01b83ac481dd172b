"""Measures of the probability that a model gives to the right class."""

from __future__ import annotations

from federated.metrics.measures.measure import Arrays, Measure, mean_of
from federated.metrics.measures.predictions import Predictions


def _losses(found: Predictions) -> Arrays:
    return (found.losses,)


CROSS_ENTROPY = Measure(
    "loss",
    "loss",
    "lower",
    "nats",
    "mean cross-entropy on {set}",
    _losses,
    mean_of,
    mean=True,
)
