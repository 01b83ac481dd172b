"""Measures at a threshold that is chosen on examples that do not judge: sensitivity and specificity."""

from __future__ import annotations

from typing import Literal

import numpy as np

from federated.metrics.measures.classes.positive import name_of, positive_class
from federated.metrics.measures.classes.thresholds import Rule
from federated.metrics.measures.measure import Arrays, Classes, Measure, unfitted
from federated.metrics.measures.predictions import Predictions
from federated.metrics.ranges import SHARE


def sensitivity(
    positive: str | None = None,
    threshold: float | None = None,
    at_specificity: float | None = None,
    at_sensitivity: float | None = None,
) -> Measure:
    """Share of the positive examples that are found (recall) at a threshold on the probability.

    Unless stated, the threshold is the one with the largest sensitivity plus specificity (Youden 1950). It is chosen at
    each evaluation on the tuning examples (`holdout.tuning`), else on the sample of training examples, never on
    examples that judge. Undefined without positive examples.

    positive: the positive class; null: of two the rarer one in the whole data.
    threshold: a fixed probability instead.
    at_specificity: the lowest threshold whose specificity, where it is chosen, is at least this.
    at_sensitivity: the highest threshold whose sensitivity, where it is chosen, is at least this.
    """
    rule = Rule(threshold, at_specificity, at_sensitivity)
    return _measure("sensitivity", rule, positive)


def specificity(
    positive: str | None = None,
    threshold: float | None = None,
    at_specificity: float | None = None,
    at_sensitivity: float | None = None,
) -> Measure:
    """Share of the negative examples that are not taken for positive, at a threshold as of `sensitivity`.

    Undefined without negative examples.

    positive: the positive class; null: of two the rarer one in the whole data.
    threshold: a fixed probability instead.
    at_specificity: the lowest threshold whose specificity, where it is chosen, is at least this.
    at_sensitivity: the highest threshold whose sensitivity, where it is chosen, is at least this.
    """
    rule = Rule(threshold, at_specificity, at_sensitivity)
    return _measure("specificity", rule, positive)


def _measure(name: Literal["sensitivity", "specificity"], rule: Rule, positive: str | None) -> Measure:
    whose = "positive" if name == "sensitivity" else "negative"
    about = f" of {positive}" if positive is not None else ""
    label = f"{name}{about}{rule.words}"

    def fitted(classes: Classes) -> Measure:
        which = positive_class(classes, positive, name)
        stated = name_of(classes, which) if positive is not None else ""
        chosen = rule.chosen(_joined(rule.name, stated), which)
        fixed = np.nan if rule.fixed is None else rule.fixed

        def arrays(found: Predictions) -> Arrays:
            at = found.thresholds[chosen.name] if chosen is not None else fixed
            over = np.where(np.isnan(at), np.nan, found.probability(which) >= at)
            mine = (found.labels == which) == (name == "sensitivity")
            return mine, over if name == "sensitivity" else 1 - over

        return unbound._replace(
            name=_name(name, rule, stated),
            arrays=arrays,
            fit=None,
            positive=which,
            threshold=chosen,
        )

    unbound = Measure(
        _name(name, rule, ""),
        label,
        "higher",
        "0 to 1",
        f"share of the {whose} examples of {{set}} that are taken for {whose}{rule.words}",
        unfitted,
        _share,
        SHARE,
        needs=f"{whose} examples",
        fit=fitted,
    )
    return unbound


def _name(name: str, rule: Rule, positive: str) -> str:
    return _joined(name, positive, f"at_{rule.name}" if rule.name != "youden" else "")


def _joined(*parts: str) -> str:
    return "_".join(part for part in parts if part)


def _share(mine: np.ndarray, right: np.ndarray) -> float:
    """The share of `mine` bool [n] that is right, float64 [n]; NaN where there are none, or no threshold."""
    return float(right[mine].mean()) if mine.any() else np.nan
