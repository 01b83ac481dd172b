"""Rank statistics, for arms with failed seeds: Wilcoxon's tests, and the corresponding intervals.

Student's interval assumes that differences spread over seeds about like a normal distribution; with a seed that fails
now and then it covers 88 to 91 %. These assume only that they spread evenly about their middle, and are about the
Hodges-Lehmann estimate, the median of the means of all pairs of seeds, which a failed seed moves little (Hodges and
Lehmann 1963). They need six seeds or more for an interval at 95 %.

Of arms that share no seeds the same by Wilcoxon's test of two samples (Mann and Whitney 1947): the estimate is the
median of all differences between a seed of the one and a seed of the other. It assumes that the arms spread alike, and
needs four seeds each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from federated.report.statistics.bayes import Chances
from federated.report.statistics.paired import Interval, all_the_same
from federated.report.statistics.two_arms import PairedScores, UnpairedScores
from federated.study.looks import Looks

_COUNTED_PAIRS = 2_500


@dataclass(frozen=True)
class RankedScores(PairedScores):
    """As `PairedScores`, by ranks: estimate, interval and tests are all of the means of all pairs of seeds."""

    @property
    def estimate(self) -> float | None:
        return hodges_lehmann(self.differences) if self.count else None

    def interval(self, level: float) -> Interval | None:
        return rank_interval(self.differences, level)

    @property
    def p(self) -> float:
        return super().p if self.counted else _p(self.differences, 0.0, "two-sided")

    def same_p(self, delta: float) -> float:
        if self.counted or self.count < 2:
            return super().same_p(delta)
        return max(_p(self.differences, -delta, "greater"), _p(self.differences, delta, "less"))

    def chances(self, delta: float, sign: int) -> Chances | None:
        return None

    def first(self, count: int) -> RankedScores:
        return RankedScores(self.differences[:count])

    def look_needed(self, delta: float, rate: float, looks: Looks) -> int | None:
        """As by Student's, from the look on where seeds that are all on one side are rarer than its share."""
        needed = super().look_needed(delta, rate, looks)
        if needed is None or self.counted:
            return needed
        ahead = (look for look in looks.after(self.count) if look >= needed)
        return next((look for look in ahead if least_p(look) < rate * looks.share(look)), None)


def least_p(seeds: int) -> float:
    """Of Wilcoxon's two-sided signed-rank test with so many seeds: all differences on one side."""
    return 2.0 ** (1 - seeds)


@dataclass(frozen=True)
class RankedUnpairedScores(UnpairedScores):
    """As `UnpairedScores`, by ranks."""

    @property
    def estimate(self) -> float | None:
        return float(np.median(_all_differences(self.mine, self.theirs))) if self.count else None

    def interval(self, level: float) -> Interval | None:
        return two_sample_interval(self.mine, self.theirs, level)

    @property
    def p(self) -> float:
        return super().p if self.counted or self.count < 2 else self._p(0.0, "two-sided")

    def same_p(self, delta: float) -> float:
        if self.counted or self.count < 2:
            return super().same_p(delta)
        return max(self._p(-delta, "greater"), self._p(delta, "less"))

    def first(self, count: int) -> RankedUnpairedScores:
        return RankedUnpairedScores(self.mine[:count], self.theirs[:count])

    def look_needed(self, delta: float, rate: float, looks: Looks) -> int | None:
        """As by Welch's, from the look on where arms that do not overlap are rarer than its share."""
        needed = super().look_needed(delta, rate, looks)
        if needed is None or self.counted:
            return needed
        ahead = (look for look in looks.after(self.count) if look >= needed)
        return next(
            (look for look in ahead if 2 / math.comb(2 * look, look) < rate * looks.share(look)), None
        )

    def _p(self, against: float, alternative: str) -> float:
        """Of Wilcoxon's test of two samples that the shift between the arms is `against`."""
        from scipy.stats import mannwhitneyu

        moved = np.round(self.mine - against, 12), np.round(self.theirs, 12)
        return float(mannwhitneyu(*moved, alternative=alternative).pvalue)


def two_sample_interval(mine: np.ndarray, theirs: np.ndarray, level: float) -> Interval | None:
    """Between two of the sorted differences of all pairs, mine [n] minus theirs [m]; None where there are too few."""
    if min(len(mine), len(theirs)) < 2 or (all_the_same(mine) and all_the_same(theirs)):
        return None
    differences = _all_differences(mine, theirs)
    cut = _too_rare(len(mine), len(theirs), (1 - level) / 2)
    if cut == 0:
        return None
    return Interval(float(differences[cut - 1]), float(differences[len(differences) - cut]))


def _all_differences(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Sorted [n m]."""
    return np.sort((mine[:, None] - theirs[None, :]).ravel())


def _too_rare(mine: int, theirs: int, rate: float) -> int:
    """The number of smallest counts of pairs with mine [n] above theirs [m] whose total probability is at most rate.

    Counted, in whole numbers; with more than 2,500 pairs by the normal law of their number.
    """
    from scipy.stats import norm

    pairs = mine * theirs
    if pairs > _COUNTED_PAIRS:
        deviation = math.sqrt(pairs * (mine + theirs + 1) / 12)
        return max(math.floor(pairs / 2 + float(norm.ppf(rate)) * deviation + 0.5), 0)
    ways = [1, *[0] * pairs]
    for each in range(
        1, mine + 1
    ):  # times (1 - x^(m + each)) / (1 - x^each), of Gauss's binomial coefficient
        for at in range(pairs, theirs + each - 1, -1):
            ways[at] -= ways[at - theirs - each]
        for at in range(each, pairs + 1):
            ways[at] += ways[at - each]
    chances = np.cumsum(ways) / math.comb(mine + theirs, mine)
    return int(np.searchsorted(chances, rate + 1e-12, side="right"))


def centre(values: np.ndarray, *, robust: bool) -> float:
    """The mean of values [n], n > 0, or by ranks the estimate of Hodges and Lehmann."""
    return hodges_lehmann(values) if robust else float(values.mean())


def rank_interval(differences: np.ndarray, level: float) -> Interval | None:
    """Between two of the sorted means of all pairs of values [n], each with itself too; None where n is too small."""
    if len(differences) < 2 or all_the_same(differences):
        return None
    means = _means_of_pairs(differences)
    below = np.cumsum(_signed_rank_law(len(differences)))
    cut = int(
        np.searchsorted(below, (1 - level) / 2 + 1e-12, side="right")
    )  # the ranks too rare to be inside
    if cut == 0:
        return None
    return Interval(float(means[cut - 1]), float(means[len(means) - cut]))


def hodges_lehmann(differences: np.ndarray) -> float:
    """The middle one of the means of all pairs of values [n], n > 0."""
    return float(np.median(_means_of_pairs(differences)))


def _means_of_pairs(values: np.ndarray) -> np.ndarray:
    """Sorted [n (n + 1) / 2], each value with itself too: Walsh averages."""
    first, second = np.triu_indices(len(values))
    return np.sort((values[first] + values[second]) / 2)


def _signed_rank_law(count: int) -> np.ndarray:
    """The chance of each sum of the ranks above zero, 0 to n (n + 1) / 2."""
    law = np.ones(1)
    for rank in range(1, count + 1):
        with_it = np.zeros(len(law) + rank)
        with_it[: len(law)] += law / 2
        with_it[rank:] += law / 2
        law = with_it
    return law


def _p(differences: np.ndarray, against: float, alternative: str) -> float:
    """Of Wilcoxon's signed-rank test that the middle is `against`; exact, by permutation where few have ties."""
    from scipy.stats import PermutationMethod, wilcoxon

    if len(differences) < 2:
        return 1.0
    moved = np.round(differences - against, 12)
    tied = len(np.unique(np.abs(moved))) < len(moved) or (moved == 0).any()
    if not moved.any():
        return 1.0
    few = len(moved) <= 13
    method = PermutationMethod() if tied and few else "approx" if tied else "exact"
    return float(wilcoxon(moved, alternative=alternative, method=method, zero_method="wilcox").pvalue)


def outlying(differences: np.ndarray, delta: float) -> list[int]:
    """Places of values [n] that lie far from the others: 3.5 deviations of the middle half, and more than delta.

    Iglewicz and Hoaglin 1993, with the median of the distances from the median; none below five values.
    """
    if len(differences) < 5:
        return []
    away = np.abs(differences - np.median(differences))
    spread = float(np.median(away)) / 0.6745
    return [int(at) for at in np.flatnonzero((away > 3.5 * spread) & (away > delta))]
