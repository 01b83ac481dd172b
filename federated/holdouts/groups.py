"""Held-out examples by whole groups: all visits of a patient, all windows of a recording."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from federated.examples.examples import Examples
from federated.holdouts.columns import codes_of
from federated.holdouts.rule import FittedRule, HoldoutRule, SetName


def groups(column: str) -> HoldoutRule:
    """Whole groups at random: a group is in the central test set, held out or trained on, never in two of these.

    Drawn until the examples are as near to the share as whole groups come; no class loses its last training example.
    Of a client with too few groups for its share, none are held out. Unseen clients stay whole: a preview says where
    a group is at one of them and at a client that trains.

    column: who or what an example is of, such as a patient within a site: a table's column (features or not), the
        number of a feature of arrays, or "client" for the natural clients. Name it in the data set's `drop`.
    """

    def fitted(examples: Examples, copies: np.ndarray | None) -> FittedRule:
        units = codes_of(examples, column)
        if copies is not None:
            units = merged(units, copies)
        if units.max() == 0:
            together = " or linked by copies, which holdout.duplicates keeps together" if units.any() else ""
            raise ValueError(f"all examples are of one group of {column!r}{together}; at least 2 are needed")
        labels = None if examples.classes is None else examples.targets

        def split(
            candidates: np.ndarray, share: float, which: SetName, numbers: np.random.Generator
        ) -> np.ndarray:
            mine = units[candidates]
            counted = labels[candidates] if labels is not None and which == "test" else None
            chosen = _drawn(mine, share, counted, numbers, at_least_one=which == "test")
            return np.isin(mine, chosen)

        return FittedRule(split, units)

    return HoldoutRule(fitted, columns=(column,))


def merged(units: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Numbers int64 [N] that are equal where two examples are linked by a chain of equal units and copies."""
    number = int(units.max()) + 1
    size = number + int(copies.max()) + 1
    links = coo_array((np.ones(len(units), bool), (units, number + copies)), shape=(size, size))
    return np.asarray(connected_components(links, directed=False)[1][units], np.int64)


def _drawn(
    units: np.ndarray,
    share: float,
    labels: np.ndarray | None,
    numbers: np.random.Generator,
    *,
    at_least_one: bool,
) -> np.ndarray:
    """The units to hold out, in random order; not all of them.

    units: of each example, int [n]. labels: class numbers [n] of which each must stay in training; None: none must.
    """
    present, owners, sizes = np.unique(units, return_inverse=True, return_counts=True)
    wanted, total = share * len(units), 0
    left = None if labels is None else np.bincount(labels)
    held: list[int] = []
    order = numbers.permutation(len(present))
    members = np.split(np.argsort(owners, kind="stable"), np.cumsum(sizes)[:-1])

    def may_go(unit: int) -> bool:
        if total + sizes[unit] >= len(units):
            return False
        if left is None or labels is None:
            return True
        mine = np.bincount(labels[members[unit]], minlength=len(left))
        return not ((mine > 0) & (left == mine)).any()

    for unit in order:
        if abs(total + sizes[unit] - wanted) < abs(total - wanted) and may_go(unit):
            held.append(unit)
            total += sizes[unit]
            if left is not None and labels is not None:
                left = left - np.bincount(labels[members[unit]], minlength=len(left))
    if not held and at_least_one:  # every group is more than twice the share: the smallest that may go
        held = [unit for unit in order[np.argsort(sizes[order], kind="stable")] if may_go(unit)][:1]
    return present[held]
