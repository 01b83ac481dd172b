"""The comparison of two arms, paired by seed or not, through one interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from federated.report.statistics import paired as statistics
from federated.report.statistics import unpaired
from federated.report.statistics.bayes import Chances, chances
from federated.report.statistics.paired import RATE, Interval
from federated.report.statistics.seeds_needed import paired_look, unpaired_look
from federated.study.looks import FEWEST_SEEDS, MOST_SEEDS, Looks


class Contrast(Protocol):
    """The scores of one arm against those of another, in the order of their seeds."""

    @property
    def estimate(self) -> float | None:
        """The difference that intervals and tests are about, of the means or by ranks; None without seeds."""

    @property
    def count(self) -> int:
        """Seeds that it rests on: shared ones, or those of the arm that has fewer."""

    @property
    def counted(self) -> bool:
        """Whether there is no spread, so that tests count seeds.

        Such tests may be looked at after every seed: where one more seed leaves them without spread, the smaller number
        had none either, so that they can err only once, at the first count that is enough.
        """

    def interval(self, level: float) -> Interval | None: ...
    @property
    def p(self) -> float: ...
    @property
    def rank_p(self) -> float: ...
    def same_p(self, delta: float) -> float: ...
    def chances(self, delta: float, sign: int) -> Chances | None:
        """The probabilities of better, equivalent and worse, where t judges pairs. sign: 1 where more is better."""

    def first(self, count: int) -> Contrast:
        """Of so many seeds alone."""

    def look_needed(self, delta: float, rate: float, looks: Looks) -> int | None:
        """The number of seeds that would probably decide at this error rate; None where none would.

        It takes three seeds or more.
        """


@dataclass(frozen=True)
class PairedScores:
    """differences [n]: one arm minus the other, for each seed that both finished."""

    differences: np.ndarray

    @property
    def estimate(self) -> float | None:
        return float(self.differences.mean()) if len(self.differences) else None

    @property
    def count(self) -> int:
        return len(self.differences)

    @property
    def counted(self) -> bool:
        return self.count > 1 and statistics.all_the_same(self.differences)

    def interval(self, level: float) -> Interval | None:
        return statistics.t_interval(self.differences, level)

    @property
    def p(self) -> float:
        return statistics.difference_p(self.differences)

    @property
    def rank_p(self) -> float:
        return statistics.rank_p(self.differences)

    def same_p(self, delta: float) -> float:
        return statistics.equivalence_p(self.differences, delta)

    def chances(self, delta: float, sign: int) -> Chances | None:
        return chances(sign * self.differences, delta)

    def first(self, count: int) -> PairedScores:
        return PairedScores(self.differences[:count])

    def look_needed(self, delta: float, rate: float, looks: Looks) -> int | None:
        if self.counted:
            return _first_enough(
                self.count, lambda count: PairedScores(np.full(count, self.differences[0])), delta, rate
            )
        return paired_look(self.differences, delta, rate, looks)


@dataclass(frozen=True)
class UnpairedScores:
    """mine [n], theirs [m]: of seeds that have nothing to do with each other."""

    mine: np.ndarray
    theirs: np.ndarray

    @property
    def estimate(self) -> float | None:
        return float(self.mine.mean() - self.theirs.mean()) if self.count else None

    @property
    def count(self) -> int:
        return min(len(self.mine), len(self.theirs))

    @property
    def counted(self) -> bool:
        return unpaired.all_alike(self.mine, self.theirs)

    def interval(self, level: float) -> Interval | None:
        return unpaired.welch_interval(self.mine, self.theirs, level)

    @property
    def p(self) -> float:
        return unpaired.welch_p(self.mine, self.theirs)

    @property
    def rank_p(self) -> float:
        return unpaired.mann_whitney_p(self.mine, self.theirs)

    def same_p(self, delta: float) -> float:
        return unpaired.welch_equivalence_p(self.mine, self.theirs, delta)

    def chances(self, delta: float, sign: int) -> Chances | None:
        return None

    def first(self, count: int) -> UnpairedScores:
        return UnpairedScores(self.mine[:count], self.theirs[:count])

    def look_needed(self, delta: float, rate: float, looks: Looks) -> int | None:
        if self.counted:
            mine, theirs = self.mine[0], self.theirs[0]
            return _first_enough(
                self.count,
                lambda count: UnpairedScores(np.full(count, mine), np.full(count, theirs)),
                delta,
                rate,
            )
        if not unpaired.have_spread(self.mine, self.theirs):
            return None
        return unpaired_look(self.mine, self.theirs, delta, rate, looks)


def _first_enough(least: int, with_seeds: Callable[[int], Contrast], delta: float, rate: float) -> int | None:
    """The first count of seeds without spread from which the tests that count them decide."""
    made = ((count, with_seeds(count)) for count in range(least, MOST_SEEDS + 1))
    return next((count for count, seen in made if min(seen.p, seen.same_p(delta)) < rate), None)


@dataclass(frozen=True)
class Judged:
    """Both p of a contrast, at the look that its seeds have reached: divided by the look's share of the error rate.

    seeds: that were judged; 0 before the first look, where both p are 1. estimate: of their difference.
    """

    seeds: int
    estimate: float | None
    p: float
    same_p: float


def judged(contrast: Contrast, delta: float, looks: Looks) -> Judged:
    """The contrast by the first seeds of it, as many as its last look has; without spread by all of them."""
    look = looks.at(contrast.count)
    if look is None:
        return Judged(0, None, 1.0, 1.0)
    seen = contrast if contrast.counted else contrast.first(look)
    share = 1.0 if seen.counted else looks.share(look)
    return Judged(seen.count, seen.estimate, min(seen.p / share, 1.0), min(seen.same_p(delta) / share, 1.0))


def more_seeds(contrast: Contrast, delta: float, comparisons: int, looks: Looks) -> int | None:
    """Seeds to add until a look that would probably decide, the error rate shared among comparisons; None: none would.

    With fewer than three seeds those up to the first useful look: a spread has to be known first.
    """
    count = contrast.count
    needed = (
        looks.first_useful(count)
        if count < FEWEST_SEEDS
        else contrast.look_needed(delta, RATE / comparisons, looks)
    )
    if needed is not None and looks.at(needed) is None:  # seeds without spread, before the first look
        needed = looks.next(count)
    return None if needed is None else needed - count
