"""The number of examples of each label at each client, from which label measures are computed."""

from __future__ import annotations

import numpy as np

from data_partitioners.classes import quantile_bins
from data_partitioners.partition import Partition


def label_counts(labels: np.ndarray, partition: Partition, num_classes: int) -> np.ndarray:
    """The number of examples of each class at each client, int64 [K, classes]. labels: int [N] of the pool."""
    cells = owners_of(partition) * num_classes + labels[partition.flat]
    number = len(partition.indices)
    return np.bincount(cells, minlength=number * num_classes).reshape(number, num_classes)


def owners_of(partition: Partition) -> np.ndarray:
    """The client of each example, in the order in which the partition lists them, int64 [n]."""
    return np.repeat(np.arange(len(partition.indices)), partition.sizes)


def binned_targets(targets: np.ndarray, most: int = 10) -> tuple[np.ndarray, tuple[str, ...]]:
    """(bin of each target int64 [N], a name for each bin): equally full bins, so that a regression has labels.

    targets: float [N]. Equal targets share a bin, so that fewer than `most` may be left. No bin is empty.
    """
    found, bins = np.unique(quantile_bins(targets, most), return_inverse=True)
    lows = [targets[bins == at].min() for at in range(len(found))]
    return bins, tuple(f"from {low:.4g}" for low in lows)
