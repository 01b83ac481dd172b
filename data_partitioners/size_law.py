"""The common part of the size laws."""

from __future__ import annotations

import numpy as np

from data_partitioners.assignment import apportioned
from data_partitioners.minimum_size import check_possible


def sizes_of_shares(shares: np.ndarray, total: int, min_size: int, partitioner: str) -> np.ndarray:
    """Sizes int64 [K] that add up to `total`: `min_size` for each, the rest in proportion to `shares` [K].

    Raises ValueError where `total` is too small for that.
    """
    check_possible(min_size, len(shares), total, partitioner)
    return min_size + apportioned(shares, total - min_size * len(shares))
