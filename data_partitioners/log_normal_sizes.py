"""Quantity skew: sizes are draws from a log-normal distribution."""

from __future__ import annotations

import math

import numpy as np

from data_partitioners.minimum_size import checked_min_size
from data_partitioners.size_law import sizes_of_shares
from data_partitioners.skew import Skew


def log_normal_sizes(sigma: float, min_size: int = 0) -> Skew:
    """Sizes proportional to exp(sigma z), z ~ N(0, 1); the examples of each client are a random sample.

    The coefficient of variation is sqrt(exp(sigma^2) - 1), but for rounding and the rescaling to all examples.

    sigma: 0 gives equal sizes. FedProx (Li et al. 2020) has 2 for its synthetic data.
    min_size: every client gets this many first, and the law shares out the rest, so sizes spread less.
    """
    if not (sigma >= 0 and math.isfinite(sigma)):
        raise ValueError(f"sigma must be a finite number >= 0, got {sigma}")
    checked_min_size(min_size)

    def size_law(total: int, number: int, generator: np.random.Generator) -> np.ndarray:
        logs = sigma * generator.standard_normal(number)
        return sizes_of_shares(np.exp(logs - logs.max()), total, min_size, "log_normal_sizes")

    return Skew("log_normal_sizes", sizes=size_law)
