"""The numbers of seeds at which arms are judged, with the error rate bounded over all of them.

A group-sequential design (Pocock 1977; Lan and DeMets 1983): looks are taken at counts of seeds that are known in
advance, and each has a share of the error rate, all shares together 1. By Bonferroni's inequality the rate holds over
all looks, whatever was tested; no history is needed. A count between two looks is judged by as many of its first seeds
as the look before has. First by their numbers: the rate holds for seeds that are added in rising order, however
many at a time, and not where one with a lower number comes later and changes whom a look has seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

FEWEST_SEEDS = 3
"""Below, nothing is called better, worse or the same: two differences that happen to agree are no evidence."""

MOST_SEEDS = 200
"""Up to which the seeds needed are counted."""

_SHARES = {3: 0.05, 5: 0.25, 10: 0.25, 20: 0.2, 30: 0.1, 50: 0.05}
_DOUBLED, _SHARE_OF_DOUBLED = 100, 0.05
"""From here on each look has twice the seeds of the one before, and half its share: 0.05 + 0.025 + ... = 0.1."""


@dataclass(frozen=True)
class Looks:
    """stated: the counts of a plan of one's own, rising, each with an equal share.

    Empty: 3, 5, 10, 20, 30, 50, 100, 200, 400, ...; most of the error rate is for 5, 10 and 20.
    """

    stated: tuple[int, ...] = ()

    def at(self, count: int) -> int | None:
        """The last look that so many seeds have reached; None before the first."""
        reached = itertools.takewhile(lambda look: look <= count, self._counts())
        return max(reached, default=None)

    def after(self, count: int) -> Iterator[int]:
        """The looks beyond so many seeds, up to MOST_SEEDS."""
        ahead = itertools.takewhile(lambda look: look <= MOST_SEEDS, self._counts())
        return (look for look in ahead if look > count)

    def next(self, count: int) -> int | None:
        """The first look beyond so many seeds, however far; None where the plan ends."""
        return next((look for look in self._counts() if look > count), None)

    def share(self, look: int) -> float:
        """The share of the error rate that a look has."""
        if self.stated:
            return 1 / len(self.stated)
        return _SHARES.get(look) or _SHARE_OF_DOUBLED * _DOUBLED / look

    def first_useful(self, count: int) -> int | None:
        """Of the looks beyond so many seeds, the first of those with the largest share."""
        return max(self.after(count), key=self.share, default=None)

    def said(self) -> str:
        """`3, 5, 10, 20, 30, 50, 100, 200, 400, ...`."""
        if self.stated:
            return " and ".join(filter(None, [", ".join(map(str, self.stated[:-1])), str(self.stated[-1])]))
        return f"{', '.join(map(str, itertools.islice(self._counts(), len(_SHARES) + 3)))}, ..."

    def _counts(self) -> Iterator[int]:
        if self.stated:
            return iter(self.stated)
        doubled = (_DOUBLED * 2**times for times in itertools.count())
        return itertools.chain(_SHARES, doubled)
