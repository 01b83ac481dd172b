"""Quantity skew: sizes fall as a power of the client's rank."""

from __future__ import annotations

import math

import numpy as np

from data_partitioners.minimum_size import checked_min_size
from data_partitioners.size_law import sizes_of_shares
from data_partitioners.skew import Skew


def power_law_sizes(exponent: float, min_size: int = 0) -> Skew:
    """Client i = 1 ... K has a size proportional to i^-exponent (Zipf's law); its examples are a random sample.

    exponent: 0 gives equal sizes; with 1 the first client holds twice what the second does.
    min_size: every client gets this many first, and the law shares out the rest, so sizes spread less.
    """
    if not (exponent >= 0 and math.isfinite(exponent)):
        raise ValueError(f"exponent must be a finite number >= 0, got {exponent}")
    checked_min_size(min_size)

    def size_law(total: int, number: int, generator: np.random.Generator) -> np.ndarray:
        shares = np.arange(1.0, number + 1) ** -exponent
        return sizes_of_shares(shares, total, min_size, "power_law_sizes")

    return Skew("power_law_sizes", sizes=size_law)
