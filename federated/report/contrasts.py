"""Two arms against each other: paired seed by seed, or not. One set of questions, two ways to answer them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from federated.report import statistics, unpaired
from federated.report.statistics import Interval


class Contrast(Protocol):
    """The scores of one arm against those of another."""

    @property
    def mean(self) -> float | None:
        """Difference of the means; None where there is nothing to compare."""

    @property
    def count(self) -> int:
        """Seeds that it rests on: shared ones, or those of the arm that has fewer."""

    @property
    def interval(self) -> Interval | None: ...
    @property
    def p(self) -> float: ...
    @property
    def rank_p(self) -> float: ...
    def same_p(self, delta: float) -> float: ...
    def more_seeds(self, delta: float, comparisons: int) -> int | None: ...


@dataclass(frozen=True)
class PairedScores:
    """differences [n]: one arm minus the other, for each seed that both finished."""

    differences: np.ndarray

    @property
    def mean(self) -> float | None:
        return float(self.differences.mean()) if len(self.differences) else None

    @property
    def count(self) -> int:
        return len(self.differences)

    @property
    def interval(self) -> Interval | None:
        return statistics.t_interval(self.differences)

    @property
    def p(self) -> float:
        return statistics.difference_p(self.differences)

    @property
    def rank_p(self) -> float:
        return statistics.rank_p(self.differences)

    def same_p(self, delta: float) -> float:
        return statistics.equivalence_p(self.differences, delta)

    def more_seeds(self, delta: float, comparisons: int) -> int | None:
        return statistics.more_seeds(self.differences, delta, comparisons)


@dataclass(frozen=True)
class UnpairedScores:
    """mine [n], theirs [m]: of seeds that have nothing to do with each other."""

    mine: np.ndarray
    theirs: np.ndarray

    @property
    def mean(self) -> float | None:
        return float(self.mine.mean() - self.theirs.mean()) if self.count else None

    @property
    def count(self) -> int:
        return min(len(self.mine), len(self.theirs))

    @property
    def interval(self) -> Interval | None:
        return unpaired.welch_interval(self.mine, self.theirs)

    @property
    def p(self) -> float:
        return unpaired.welch_p(self.mine, self.theirs)

    @property
    def rank_p(self) -> float:
        return unpaired.mann_whitney_p(self.mine, self.theirs)

    def same_p(self, delta: float) -> float:
        return unpaired.welch_equivalence_p(self.mine, self.theirs, delta)

    def more_seeds(self, delta: float, comparisons: int) -> int | None:
        return unpaired.welch_more_seeds(self.mine, self.theirs, delta, comparisons)
