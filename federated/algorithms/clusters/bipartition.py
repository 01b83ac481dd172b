"""The bipartition of clients by the cosine similarities of their updates."""

from __future__ import annotations

import math

import numpy as np


def cosines(updates: np.ndarray) -> np.ndarray:
    """The cosine of every pair of rows [n, T], float64 [n, n]; a row of zeros has 0 with all others."""
    rows = updates.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    found: np.ndarray = units @ units.T
    return found


def bipartition(similarities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two groups of whose pairs across the most similar is the least similar; of the first row, then the other.

    similarities: [n, n], n at least 2. Sattler et al. 2020, the optimal bipartition: join the most similar pairs until
    two groups are left, which is single linkage. Each group is in rising order.
    """
    from scipy.cluster.hierarchy import linkage, to_tree

    pairs = np.triu_indices(len(similarities), 1)
    root = to_tree(linkage(1 - similarities[pairs], method="single"))
    in_left = np.zeros(len(similarities), bool)
    in_left[root.left.pre_order()] = True
    first = in_left if in_left[0] else ~in_left
    return np.flatnonzero(first), np.flatnonzero(~first)


def across(similarities: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """The largest similarity of a pair with one in each group."""
    return float(similarities[np.ix_(first, second)].max())


def largest_gamma(similarity: float) -> float:
    """The relative noise of updates up to which a split with this similarity across is right: sqrt((1 - it) / 2).

    Sattler et al. 2020; the noise is that of updates against the mean of their own distribution, over its length.
    """
    return math.sqrt(max(0.0, (1 - similarity) / 2))
