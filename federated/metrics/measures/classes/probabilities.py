"""Measures of how far probabilities are from what happens."""

from __future__ import annotations

import numpy as np

from federated.metrics.calibration import reliability_of
from federated.metrics.measures.measure import Arrays, Classes, Measure, mean_of, unfitted
from federated.metrics.measures.predictions import Predictions
from federated.metrics.ranges import SHARE


def brier() -> Measure:
    """Brier score: mean squared distance of the probabilities from what happened.

    As in scikit-learn: of two classes that of the positive one alone (0 to 1), of more the sum over
    classes (0 to 2).
    """

    def fitted(classes: Classes) -> Measure:
        two = len(classes.names) == 2

        def arrays(found: Predictions) -> Arrays:
            return (found.squared_distances / 2 if two else found.squared_distances,)

        return unbound._replace(arrays=arrays, fit=None, ends=SHARE if two else (0.0, 2.0))

    meaning = "mean squared distance of the probabilities from what happened, on {set}"
    unbound = Measure(
        "brier",
        "Brier score",
        "lower",
        "0 to 2, of two classes 0 to 1",
        meaning,
        unfitted,
        mean_of,
        (0.0, 2.0),
    )
    unbound = unbound._replace(mean=True, fit=fitted)
    return unbound


def calibration_error() -> Measure:
    """Expected calibration error (ECE): how far confidence is from accuracy, in 15 equal bins of confidence.

    Guo et al. 2017, "On calibration of modern neural networks", eq. 3. Of few examples it is large by chance.
    """
    return Measure(
        "calibration_error",
        "ECE",
        "lower",
        "0 to 1",
        "expected calibration error on {set}, 15 equal bins of confidence (Guo et al. 2017)",
        _confidence,
        lambda confidence, right: reliability_of(confidence, right).error,
        SHARE,
        together=True,
    )


def _confidence(found: Predictions) -> Arrays:
    return found.confidence, (found.predicted == found.labels).astype(np.float64)
