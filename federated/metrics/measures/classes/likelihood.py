"""Measures of the probability that a model gives to the right class."""

from __future__ import annotations

import math

import numpy as np

from federated.metrics.measures.measure import Arrays, Measure, mean_of
from federated.metrics.measures.predictions import Predictions


def log_loss() -> Measure:
    """Mean cross-entropy in nats, as in scikit-learn: confident errors count most."""
    return CROSS_ENTROPY._replace(name="log_loss", label="log loss")


def perplexity() -> Measure:
    """Exponential of the mean cross-entropy: the number of equally likely classes that would be as hard to guess.

    At most 1e100, so that a model that diverges has one too, and a mean over clients; log loss has no limit.
    """
    return Measure(
        "perplexity",
        "perplexity",
        "lower",
        "classes",
        "exponential of the mean cross-entropy on {set}",
        _losses,
        _perplexity,
        (1.0, math.inf),
    )


def _losses(found: Predictions) -> Arrays:
    return (found.losses,)


_LARGEST = 1e100


def _perplexity(losses: np.ndarray) -> float:
    return float(np.exp(min(losses.mean(), math.log(_LARGEST))))


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
