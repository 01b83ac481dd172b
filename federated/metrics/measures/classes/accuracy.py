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


def balanced_accuracy() -> Measure:
    """Mean over the classes that occur of the share of each that is right.

    As in scikit-learn: what always predicts one of C classes has 1 / C. A client without a
    class is measured on the classes that it has.
    """
    return Measure(
        "balanced_accuracy",
        "balanced accuracy",
        "higher",
        "0 to 1",
        "mean over the classes of {set} of the share of each that is right",
        lambda found: (found.labels, found.predicted),
        _balanced,
        SHARE,
    )


def _right(found: Predictions) -> Arrays:
    return ((found.predicted == found.labels).astype(np.float64),)


def _balanced(labels: np.ndarray, predicted: np.ndarray) -> float:
    totals = np.bincount(labels)
    right = np.bincount(labels[labels == predicted], minlength=len(totals))
    occurs = totals > 0
    return float((right[occurs] / totals[occurs]).mean())
