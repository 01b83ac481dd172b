"""F1: the harmonic mean of precision and recall of a class."""

from __future__ import annotations

import numpy as np

from federated.metrics.calibration import confusion_of
from federated.metrics.calibration import macro_f1 as mean_over_classes
from federated.metrics.measures.classes.positive import name_of
from federated.metrics.measures.measure import Arrays, Classes, Measure, slug, unfitted
from federated.metrics.measures.predictions import Predictions
from federated.metrics.ranges import SHARE


def macro_f1() -> Measure:
    """Unweighted mean of the classes' F1, over those that occur in targets or predictions.

    As in scikit-learn; a class that is never predicted has 0.
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


def f1(of: str) -> Measure:
    """F1 of one class.

    As in scikit-learn, but undefined, not 0, where the class neither occurs nor is predicted.

    of: the class, by its name in the data.
    """

    def fitted(classes: Classes) -> Measure:
        which = classes.number(of, "f1.of")

        def arrays(found: Predictions) -> Arrays:
            return found.labels == which, found.predicted == which

        return unbound._replace(name=f"f1_{name_of(classes, which)}", arrays=arrays, fit=None, positive=which)

    unbound = Measure(
        f"f1_{slug(of)}",
        f"F1 of {of}",
        "higher",
        "0 to 1",
        f"F1 of the class {of} on {{set}}",
        unfitted,
        _f1,
        SHARE,
        needs="the class, in targets or predictions",
        fit=fitted,
    )
    return unbound


def _classes(found: Predictions) -> Arrays:
    return found.labels, found.predicted


def _macro(labels: np.ndarray, predicted: np.ndarray) -> float:
    classes = int(max(labels.max(), predicted.max())) + 1
    return mean_over_classes(confusion_of(labels, predicted, classes))


def _f1(true: np.ndarray, predicted: np.ndarray) -> float:
    involved = int(true.sum()) + int(predicted.sum())
    return 2 * int((true & predicted).sum()) / involved if involved else np.nan
