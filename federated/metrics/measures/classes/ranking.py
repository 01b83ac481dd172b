"""Measures of the order in which a model puts examples, without a threshold: AUROC and average precision."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from federated.metrics.measures.classes.positive import name_of, positive_class
from federated.metrics.measures.measure import Arrays, Classes, Measure, unfitted
from federated.metrics.measures.predictions import Predictions
from federated.metrics.ranges import SHARE

MOST_CLASSES = 1000
"""Of which a probability is kept for each example; and a class with so few examples has no stable order."""

Of = Callable[[np.ndarray, np.ndarray], float]
"""(whether each example is positive bool [n], its score [n]) -> measure; NaN where it is undefined."""


def auroc(positive: str | None = None) -> Measure:
    """Area under the ROC curve: the probability that a positive example scores higher than a negative one.

    As in scikit-learn; a constant answer has 0.5. Of more than two classes, unless one is stated, the
    unweighted mean of each class against all others. Undefined where a class, or all others, have no example.

    positive: the class whose order is measured; null: of two either, which is the same, of more their mean.
    """
    return _measure("auroc", "AUROC", area, positive, "examples of every class")


def average_precision(positive: str | None = None) -> Measure:
    """Average precision, a summary of the precision-recall curve for rare positives.

    As in scikit-learn; a constant answer has the share of positives. Of more than two classes,
    unless one is stated, the unweighted mean over classes. Undefined where the class has no example.

    positive: the positive class; null: of two the rarer one in the whole data, of more their mean.
    """
    return _measure("average_precision", "average precision", precision, positive, "positive examples")


def _measure(name: str, label: str, of: Of, positive: str | None, needs: str) -> Measure:
    def fitted(classes: Classes) -> Measure:
        if positive is None and len(classes.names) != 2:
            return _of_several(unbound, of, classes)
        which = positive_class(classes, positive, name)
        return _of_one(unbound, of, classes, which, named=positive is not None)

    about = f" of {positive}" if positive is not None else ""
    unbound = Measure(
        name, label + about, "higher", "0 to 1", f"{label}{about} on {{set}}", unfitted, _unfitted, SHARE
    )
    unbound = unbound._replace(needs=needs, fit=fitted)
    return unbound


def _of_one(unbound: Measure, of: Of, classes: Classes, which: int, *, named: bool) -> Measure:
    def arrays(found: Predictions) -> Arrays:
        scores = found.margin(which) if len(classes.names) == 2 else found.log_probability(which)
        return found.labels == which, scores

    name = f"{unbound.name}_{name_of(classes, which)}" if named else unbound.name
    needs = unbound.needs
    if of is area:
        two = len(classes.names) == 2
        needs = "examples of both classes" if two else f"examples of {classes.names[which]!r} and of others"
    return unbound._replace(name=name, arrays=arrays, value=of, fit=None, positive=which, needs=needs)


def _of_several(unbound: Measure, of: Of, classes: Classes) -> Measure:
    count = len(classes.names)
    if count > MOST_CLASSES:
        raise ValueError(
            f"{unbound.name}: the mean over {count:,} classes is not computed, {MOST_CLASSES:,} at most; state positive"
        )

    def arrays(found: Predictions) -> Arrays:
        return found.labels, np.stack([found.log_probability(each) for each in range(count)], axis=1)

    def value(labels: np.ndarray, scores: np.ndarray) -> float:
        if len(np.unique(labels)) < count:
            return np.nan
        return float(np.mean([of(labels == each, scores[:, each]) for each in range(count)]))

    return unbound._replace(arrays=arrays, value=value, fit=None, needs="examples of every class")


def _unfitted(*arrays: np.ndarray) -> float:
    raise TypeError("the measure was not fitted to the classes")


def area(positive: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve, by the ranks of the positive examples (Mann and Whitney); ties count half."""
    from scipy.stats import rankdata

    ones = int(positive.sum())
    zeros = len(positive) - ones
    if not ones or not zeros:
        return np.nan
    return float((rankdata(scores)[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def precision(positive: np.ndarray, scores: np.ndarray) -> float:
    """Sum over thresholds of the precision there, times the recall that it adds; equal scores are one threshold."""
    ones = int(positive.sum())
    if not ones:
        return np.nan
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    right = np.cumsum(positive[order])[ends]
    return float(np.sum(np.diff(right, prepend=0) / ones * right / (ends + 1)))
