"""Paired statistics over seeds: intervals, tests, Holm's correction.

Arms of a study share seeds, and with them held-out data, initial model, cohorts and batches. What they differ by,
seed by seed, spreads far less than their scores do; it is what every function here takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEVEL = 0.95
"""Of every interval."""

RATE = 0.05
"""The error rate of every test, stated and not 1 - LEVEL, which is a little more: a p of 1/20 is not below it."""

ROUNDING = 1e-12
"""Differences that vary by less than this are the same: 0.9 - 0.8 is not quite 0.8 - 0.7."""


class Interval(NamedTuple):
    """From `low` to `high`, both included."""

    low: float
    high: float


def t_interval(values: np.ndarray, level: float = LEVEL) -> Interval | None:
    """Student's interval for the mean of values [n]; None where their spread cannot be estimated.

    That is below two values, and where all are the same: an interval of no width would claim certainty.
    """
    if len(values) < 2 or not np.isfinite(values).all() or all_the_same(values):
        return None
    half = half_width(float(values.std(ddof=1)), len(values), level)
    return None if half is None else Interval(float(values.mean()) - half, float(values.mean()) + half)


def half_width(sd: float, count: int, level: float = LEVEL) -> float | None:
    """Half of Student's interval for a mean of so many values with this sample deviation; None as for `t_interval`."""
    from scipy.stats import t

    if count < 2 or not math.isfinite(sd) or sd <= ROUNDING:
        return None
    return float(t.ppf((1 + level) / 2, count - 1)) * sd / math.sqrt(count)


def at_once(intervals: int) -> float:
    """The level of each of so many intervals that all hold at LEVEL: Bonferroni's.

    So each of them does, the one included that is looked at for what it says.
    """
    return 1 - (1 - LEVEL) / max(intervals, 1)


def within(interval: Interval | None, ends: tuple[float, float]) -> Interval | None:
    """An interval for what can only lie between two ends, such as a mean of proportions, cut there.

    What is cut away holds no value that the mean could have, so the interval covers it as often as before.
    """
    if interval is None:
        return None
    low, high = np.clip(interval, *ends)
    return Interval(float(low), float(high))


def difference_p(differences: np.ndarray) -> float:
    """Two-sided p of no difference: paired t test, or the sign test where all differences [n] are the same.

    1.0 below two seeds, which say nothing.
    """
    from scipy.stats import ttest_1samp

    if len(differences) < 2:
        return 1.0
    if all_the_same(differences):
        return sign_p(differences)
    return float(ttest_1samp(differences, 0).pvalue)


def equivalence_p(differences: np.ndarray, delta: float) -> float:
    """p of a mean difference of `delta` or more, either way: the two one-sided t tests of Schuirmann 1987.

    Where all differences [n] are the same, an exact binomial test that most seeds differ by `delta` at most.
    """
    from statsmodels.stats.weightstats import DescrStatsW

    if len(differences) < 2:
        return 1.0
    if all_the_same(differences):
        return 0.5 ** len(differences) if abs(differences[0]) <= delta else 1.0
    return float(DescrStatsW(differences).ttost_mean(-delta, delta)[0])


def sign_p(differences: np.ndarray) -> float:
    """Two-sided p of the exact sign test; differences of zero are left out."""
    from scipy.stats import binomtest

    apart = differences[np.abs(differences) > ROUNDING]
    return float(binomtest(int((apart > 0).sum()), len(apart)).pvalue) if len(apart) else 1.0


def rank_p(differences: np.ndarray) -> float:
    """Two-sided p without normality: exact Wilcoxon signed-rank test, with ties or zeros the sign test.

    Below 6 seeds neither can fall under 0.05.
    """
    from scipy.stats import wilcoxon

    sizes = np.sort(np.abs(differences))
    tied = len(sizes) == 0 or sizes[0] <= ROUNDING or (np.diff(sizes) <= ROUNDING).any()
    return sign_p(differences) if tied else float(wilcoxon(differences, method="exact").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for all being asked at once, in their order. Holm 1979.

    As statsmodels' `multipletests`, which collects the garbage of the whole process first: 0.2 s a call.
    """
    p = np.array(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    found = np.empty_like(p)
    found[order] = np.minimum(adjusted, 1.0)
    return [float(each) for each in found]


def all_the_same(values: np.ndarray) -> bool:
    """Whether values [n] differ by no more than rounding."""
    return bool(np.ptp(values) <= ROUNDING)
