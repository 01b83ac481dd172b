"""Statistics of two arms without common seeds: Welch's intervals and tests.

What a seed does to both arms does not cancel here, so intervals are wider than those of `statistics`. Where neither arm
has any spread, Welch's tests have no error to measure by; an exact permutation test takes their place (Fisher 1935; for
equivalence, two one-sided ones of arms shifted by `delta`): all scores of one arm above all of the other is one of
C(n + m, n) orders that chance gives alike. The sign test does the same for pairs.
"""

from __future__ import annotations

import math

import numpy as np

from federated.report.statistics.paired import LEVEL, ROUNDING, Interval, all_the_same


def welch_interval(mine: np.ndarray, theirs: np.ndarray, level: float = LEVEL) -> Interval | None:
    """Of the difference of the means of mine [n] and theirs [m]; None where spreads cannot be estimated."""
    from scipy.stats import ttest_ind

    if not have_spread(mine, theirs):
        return None
    ends = ttest_ind(mine, theirs, equal_var=False).confidence_interval(level)
    return Interval(float(ends.low), float(ends.high))


def welch_p(mine: np.ndarray, theirs: np.ndarray) -> float:
    """Two-sided p of equal means; the exact one where neither arm spreads, 1.0 below two seeds. Welch 1947."""
    from scipy.stats import ttest_ind

    if all_alike(mine, theirs):
        return 2 * order_p(len(mine), len(theirs)) if _difference(mine, theirs) > ROUNDING else 1.0
    if not have_spread(mine, theirs):
        return 1.0
    return float(ttest_ind(mine, theirs, equal_var=False).pvalue)


def welch_equivalence_p(mine: np.ndarray, theirs: np.ndarray, delta: float) -> float:
    """p of means that differ by `delta` or more, either way: two one-sided Welch tests; else as `welch_p`."""
    from statsmodels.stats.weightstats import ttost_ind

    if all_alike(mine, theirs):
        return order_p(len(mine), len(theirs)) if _difference(mine, theirs) < delta else 1.0
    if not have_spread(mine, theirs):
        return 1.0
    return float(ttost_ind(mine, theirs, -delta, delta, usevar="unequal")[0])


def mann_whitney_p(mine: np.ndarray, theirs: np.ndarray) -> float:
    """Two-sided p without normality: Mann and Whitney's test, exact where there are no ties."""
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(mine, theirs).pvalue) if len(mine) and len(theirs) else 1.0


def have_spread(mine: np.ndarray, theirs: np.ndarray) -> bool:
    return _known(mine, theirs) and not (all_the_same(mine) and all_the_same(theirs))


def all_alike(mine: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether both arms have the same score with every seed, each its own."""
    return _known(mine, theirs) and all_the_same(mine) and all_the_same(theirs)


def _known(mine: np.ndarray, theirs: np.ndarray) -> bool:
    return min(len(mine), len(theirs)) >= 2 and bool(np.isfinite([*mine, *theirs]).all())


def _difference(mine: np.ndarray, theirs: np.ndarray) -> float:
    return abs(float(mine.mean() - theirs.mean()))


def order_p(mine: int, theirs: int) -> float:
    """One-sided p of all scores of one arm above all of the other, with so many seeds each."""
    return 1 / math.comb(mine + theirs, mine)
