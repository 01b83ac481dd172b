"""The classes of a pool, numbered so that their names do not matter; quantile bins stand in for regression."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data_partitioners.partition import Pool


class Classes(NamedTuple):
    """The class of each example, classes numbered 0 ... C - 1 in order of first appearance.

    codes: int [N]; counts: examples of each class, int64 [C]; labels: the pool's own number of each class [C].
    """

    codes: np.ndarray
    counts: np.ndarray
    labels: np.ndarray

    def members(self) -> list[np.ndarray]:
        """The examples of each class, in rising order; [C] arrays."""
        order = np.argsort(self.codes, kind="stable")
        return np.split(order, np.cumsum(self.counts)[:-1])


def classes_of(pool: Pool, partitioner: str, bins: int) -> Classes:
    """The pool's classes; for regression, `bins` bins of its targets between quantiles. Raises ValueError."""
    if pool.labels is not None:
        return _in_order_of_appearance(pool.labels)
    if pool.targets is None:
        raise ValueError(f"partitioner: {partitioner} needs labels or targets; the pool has neither")
    targets = np.asarray(pool.targets, np.float64).reshape(pool.size, -1)
    if targets.shape[1] != 1:
        raise ValueError(
            f"partitioner: {partitioner} needs one target to bin, the data set has {targets.shape[1]}; "
            "use iid, by_client or by_column"
        )
    return _in_order_of_appearance(quantile_bins(targets[:, 0], bins))


def quantile_bins(values: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each value, int64 [N]: as equally full as ties allow, since equal values share a bin."""
    edges = np.quantile(values, np.arange(1, bins) / bins)
    return np.searchsorted(edges, values, side="left")


def checked_bins(bins: int) -> int:
    """Raises ValueError where `bins` is no number of quantile bins."""
    if bins < 2:
        raise ValueError(f"bins must be at least 2, got {bins}")
    return bins


def _in_order_of_appearance(labels: np.ndarray) -> Classes:
    low, spread = (int(labels.min()), int(np.ptp(labels)) + 1) if len(labels) else (0, 0)
    if spread > 2 * len(labels) + 1000:  # numbers far apart: not worth a table
        values, dense = np.unique(labels, return_inverse=True)
        found = _in_order_of_appearance(dense)
        return found._replace(labels=values[found.labels])
    dense = labels - low
    first = np.full(spread, len(labels))
    first[dense[::-1]] = np.arange(len(labels))[::-1]  # of equal indices the last one counts
    order = np.argsort(first, kind="stable")[: int((first < len(labels)).sum())]
    ranks = np.zeros(spread, np.uint16 if len(order) < 2**16 else np.int64)  # 16 bits are sorted by radix
    ranks[order] = np.arange(len(order))
    codes = ranks[dense]
    return Classes(codes, np.bincount(codes, minlength=len(order)), order + low)
