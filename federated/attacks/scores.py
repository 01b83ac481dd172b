"""Curves and figures of a score that is to tell members from non-members."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FALSE_POSITIVE_RATES = {"01": 0.01, "001": 0.001}
"""Ending of a metric's name -> the false positive rate at which true positives are counted."""


class Roc(NamedTuple):
    """The curve of an attack: a member is who scores at least as high as a threshold. Both rise, from 0 to 1."""

    false_positives: np.ndarray
    true_positives: np.ndarray

    @property
    def auc(self) -> float:
        """The area below: the share of pairs in which the member scores higher, ties by half."""
        return float(np.trapezoid(self.true_positives, self.false_positives))

    @property
    def advantage(self) -> float:
        """The largest difference of true and false positive rate (Yeom et al. 2018)."""
        return float((self.true_positives - self.false_positives).max())

    def at(self, false_positive_rate: float) -> float:
        """The largest true positive rate of a threshold with at most this rate of false positives."""
        return float(self.true_positives[self.false_positives <= false_positive_rate].max())


def roc(scores: np.ndarray, members: np.ndarray) -> Roc:
    """The curve of scores [n], members bool [n], with at least one member and one other. Raises ValueError."""
    from sklearn.metrics import roc_curve

    if members.all() or not members.any():
        raise ValueError("a curve needs members and non-members")
    false_positives, true_positives, _ = roc_curve(members, scores, drop_intermediate=False)
    return Roc(false_positives, true_positives)


def figures(curve: Roc, non_members: int) -> dict[str, float]:
    """The figures of a curve by the endings of their metrics.

    A true positive rate is left out where there are too few non-members for one of them to be that rate or less.
    """
    rates = {
        f"tpr_at_fpr_{ending}": curve.at(rate)
        for ending, rate in FALSE_POSITIVE_RATES.items()
        if non_members * rate >= 1
    }
    return {"auc": curve.auc, "advantage": curve.advantage, **rates}


def by_client(
    scores: np.ndarray, members: np.ndarray, owners: np.ndarray, num_clients: int, least: int
) -> np.ndarray:
    """The AUC among the examples of each client [K]; NaN where it has fewer than `least` members or non-members."""
    found = np.full(num_clients, np.nan)
    for client in np.unique(owners):
        mine = owners == client
        if min(members[mine].sum(), (~members[mine]).sum()) >= least:
            found[client] = roc(scores[mine], members[mine]).auc
    return found


def rank_correlation(one: np.ndarray, other: np.ndarray, least: int) -> float | None:
    """Spearman's of two values of each client [K]; None with fewer than `least` that have both, or without spread."""
    from scipy.stats import spearmanr

    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < least or np.ptp(one[both]) == 0 or np.ptp(other[both]) == 0:
        return None
    return float(spearmanr(one[both], other[both]).statistic)
