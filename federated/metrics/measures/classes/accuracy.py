"""Accuracy: the share of examples whose class is right."""

from __future__ import annotations

import numpy as np

from federated.metrics.measures.measure import Arrays, Measure, mean_of
from federated.metrics.measures.predictions import Predictions
from federated.metrics.ranges import SHARE


def accuracy() -> Measure:
    """Share of examples whose class has the largest score."""
    return Measure(
        "accuracy",
        "accuracy",
        "higher",
        "0 to 1",
        "share of {set} that is right",
        _right,
        mean_of,
        SHARE,
        mean=True,
    )


def _right(found: Predictions) -> Arrays:
    return ((found.predicted == found.labels).astype(np.float64),)
