"""How unlike the clients are: numbers that describe the partition actually drawn."""

from __future__ import annotations

import numpy as np

from data_partitioners.partition import Partition


def label_counts(labels: np.ndarray, partition: Partition, num_classes: int) -> np.ndarray:
    """How many examples of each class each client holds, int64 [K, classes]. labels: int [N] of the pool."""
    return np.stack([np.bincount(labels[held], minlength=num_classes) for held in partition.indices])


def label_divergence(counts: np.ndarray) -> float:
    """Mean Jensen-Shannon divergence of the clients' label mixes from the pooled mix, in bits.

    counts: int [K, classes]. Clients are weighted by size, so empty ones do not count. 0 = identical mixes;
    the upper end is below 1. Lin 1991, "Divergence measures based on the Shannon entropy", eq. 4.1 with two
    equal weights.
    """
    sizes = counts.sum(axis=1)
    held = sizes > 0
    mixes = counts[held] / sizes[held, None]
    pooled = counts.sum(axis=0) / counts.sum()
    between = _entropy_bits((mixes + pooled) / 2) - (_entropy_bits(mixes) + _entropy_bits(pooled)) / 2
    return float(max(np.average(between, weights=sizes[held]), 0.0))


def _entropy_bits(shares: np.ndarray) -> np.ndarray:
    """Shannon entropy over the last axis, in bits; 0 log 0 = 0."""
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return -np.asarray((shares * logs).sum(axis=-1))


def size_gini(sizes: np.ndarray) -> float:
    """Gini coefficient of the clients' sizes [K]: 0 = all equal, (K - 1) / K = one client holds everything."""
    rising = np.sort(sizes)
    ranks = np.arange(1, len(rising) + 1)
    return float(2 * (ranks * rising).sum() / (len(rising) * rising.sum()) - (len(rising) + 1) / len(rising))
