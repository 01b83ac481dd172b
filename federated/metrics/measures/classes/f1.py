"""F1: the harmonic mean of precision and recall of a class."""

from __future__ import annotations

import numpy as np

from federated.metrics.calibration import confusion_of
from federated.metrics.calibration import macro_f1 as mean_over_classes
from federated.metrics.measures.measure import Arrays, Measure
from federated.metrics.measures.predictions import Predictions
from federated.metrics.ranges import SHARE


def macro_f1() -> Measure:
    """Unweighted mean of the classes' F1, over those that occur in targets or predictions.

    As scikit-learn's `f1_score(average="macro")`; a class that is never predicted has 0.
    """
    return Measure(
        "macro_f1",
        "macro F1",
        "higher",
        "0 to 1",
        "unweighted mean of the classes' F1 on {set}",
        _classes,
        _macro,
        SHARE,
    )


def _classes(found: Predictions) -> Arrays:
    return found.labels, found.predicted


def _macro(labels: np.ndarray, predicted: np.ndarray) -> float:
    classes = int(max(labels.max(), predicted.max())) + 1
    return mean_over_classes(confusion_of(labels, predicted, classes))
