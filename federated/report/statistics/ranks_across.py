"""Methods ranked over several data sets: mean ranks, the test that any differ, and which do.

Demšar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets": Friedman's test of all, then of pairs.
For the pairs Wilcoxon's signed-rank tests with Holm's correction instead of Nemenyi's, as Benavoli et al. 2016, "Should
We Really Use Post-Hoc Tests Based on Mean-Ranks?", recommend: then whether two differ does not depend on the others.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from federated.report.statistics.paired import RATE, holm, rank_p

FEWEST_METHODS = 3


class RankedMethods(NamedTuple):
    """ranks: the mean rank of each method, 1 is best; ties share. p: of no difference among them, Friedman's. groups:
    methods, best first, among which none differs from another, only those that are in no larger one. pairs: (one,
    other) -> p of no difference, after Holm's correction."""

    ranks: np.ndarray
    p: float
    groups: list[list[int]]
    pairs: dict[tuple[int, int], float]


def fewest_data_sets(methods: int) -> int:
    """The number of data sets from which on a pair can differ at all, with Holm's correction for all pairs."""
    pairs = methods * (methods - 1) // 2
    return next(count for count in itertools.count(2) if 2.0 ** (1 - count) * pairs < RATE)


def ranked_methods(scores: np.ndarray) -> RankedMethods:
    """Of scores [data sets, methods], more is better; at least three methods and `fewest_data_sets` of these."""
    from scipy.stats import friedmanchisquare, rankdata

    methods = scores.shape[1]
    ranks = rankdata(-scores, axis=1).mean(axis=0)
    p = 1.0 if (scores == scores[:, :1]).all() else float(friedmanchisquare(*scores.T).pvalue)
    found = list(itertools.combinations(range(methods), 2))
    corrected = holm([rank_p(scores[:, one] - scores[:, other]) for one, other in found])
    pairs = dict(zip(found, corrected, strict=True))
    order = [int(at) for at in np.argsort(ranks, kind="stable")]
    return RankedMethods(ranks, p, _groups(order, pairs if p < RATE else dict.fromkeys(found, 1.0)), pairs)


def _groups(order: Sequence[int], pairs: dict[tuple[int, int], float]) -> list[list[int]]:
    """Neighbours in the order of ranks among which no pair differs; those that are within no other."""
    longest = []
    for start in range(len(order)):
        end = start + 1
        while end < len(order) and all(_alike(pairs, order[end], one) for one in order[start:end]):
            end += 1
        longest.append((start, end))
    kept = [
        (start, end)
        for start, end in longest
        if end - start > 1 and not any(s <= start and end <= e and (s, e) != (start, end) for s, e in longest)
    ]
    return [list(order[start:end]) for start, end in kept]


def _alike(pairs: dict[tuple[int, int], float], one: int, other: int) -> bool:
    return pairs[min(one, other), max(one, other)] >= RATE
