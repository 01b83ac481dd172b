"""Held-out examples by time: the latest ones."""

from __future__ import annotations

import numpy as np

from federated.examples.examples import Examples
from federated.holdouts.columns import codes_of
from federated.holdouts.rule import FittedRule, HoldoutRule, SetName
from federated.holdouts.times import time_ranks


def time(column: str, within: str | None = None, format: str | None = None) -> HoldoutRule:
    """The latest examples: what is trained on comes first, then what chooses, what clients keep, and the test set.

    The cut is between two times, the nearest to the share, so examples of one time are never divided. Where copies
    stay together (`holdout.duplicates`), all copies of a held-out example are held out.

    column: the times: dates or times in text or as a file holds them, or numbers that rise (days, seconds, 20240131);
        a table's column (features or not), or the number of a feature of arrays.
    within: null: one cut for all examples, so that the test set is later than all others; "client": a cut for each
        natural client, so that every client has a test part that comes after its own others; or a column, each of
        whose values has a cut of its own, such as a recording. A client's own shares are always its own latest ones.
    format: of dates in text that can be read in two ways, such as "%d/%m/%Y".
    """

    def fitted(examples: Examples, copies: np.ndarray | None) -> FittedRule:
        ranks = time_ranks(examples, column, format)
        parts = np.zeros(len(ranks), np.int64) if within is None else codes_of(examples, within)

        def split(
            candidates: np.ndarray, share: float, which: SetName, numbers: np.random.Generator
        ) -> np.ndarray:
            held_out = np.zeros(len(candidates), bool)
            mine = parts[candidates]
            order = np.argsort(mine, kind="stable")
            for part in np.split(order, np.flatnonzero(np.diff(mine[order])) + 1):
                held_out[part] = latest(ranks[candidates[part]], share)
            return held_out

        return FittedRule(split)

    return HoldoutRule(fitted, columns=(column,))


def latest(times: np.ndarray, share: float) -> np.ndarray:
    """A mask of the latest examples, about this share of them and not all; none where their times are all one.

    times: int [n]. Examples of one time are on one side; of two cuts that are as near, that which holds out fewer.
    """
    present, counts = np.unique(times, return_counts=True)
    wanted = round(share * len(times))
    if len(present) < 2 or not wanted:
        return np.zeros(len(times), bool)
    later = counts[::-1].cumsum()[:-1]  # held out by a cut before the last time, before the last two, ...
    cut = present[-1 - int(np.abs(later - wanted).argmin())]
    return np.asarray(times >= cut)
