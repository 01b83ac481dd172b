"""Helpers of the sparsifying reductions, which send some coordinates unchanged along with their positions."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal

import numpy as np

from federated.compressors.parts import Restorer

_SAMPLE = 2**14


def checked_fraction(fraction: float, name: str = "fraction") -> float:
    """The fraction, which the factory calls `name`. Raises ValueError unless it is in (0, 1]."""
    if not 0 < fraction <= 1:
        raise ValueError(f"{name} must be in (0, 1], got {fraction}")
    return fraction


def share_of(fraction: float, count: int) -> int:
    """ceil(fraction x count), in decimal, as it was written: in binary 0.07 * 100 is above 7."""
    return math.ceil(Decimal(str(fraction)) * count)


def scattered(positions: np.ndarray, num_parameters: int) -> Restorer:
    """Numbers back to their positions in a row of zeros."""

    def restore(numbers: np.ndarray) -> np.ndarray:
        row = np.zeros(num_parameters, np.float32)
        row[positions] = numbers
        return row

    return Restorer(positions.size, restore)


def largest(magnitudes: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k largest magnitudes, rising; of equal ones the first.

    What is surely too small, judged by a sample, is thrown away first: that leaves little to select among.
    """
    candidates = _candidates(magnitudes, k)
    among = magnitudes if candidates is None else magnitudes[candidates]
    last = np.partition(among, among.size - k)[among.size - k]
    chosen = np.flatnonzero(among >= last)
    if chosen.size > k:
        ties = np.flatnonzero(among[chosen] == last)
        chosen = np.delete(chosen, ties[k - chosen.size :])
    return chosen if candidates is None else candidates[chosen]


def _candidates(magnitudes: np.ndarray, k: int) -> np.ndarray | None:
    """Positions among which the k largest surely are; None: all."""
    if magnitudes.size < 4 * _SAMPLE or 4 * k > magnitudes.size:
        return None
    sample = magnitudes[:: magnitudes.size // _SAMPLE]
    rank = math.ceil(sample.size * k / magnitudes.size * 1.2) + 32
    floor = np.partition(sample, sample.size - rank)[sample.size - rank]
    candidates = np.flatnonzero(magnitudes >= floor)
    return candidates if candidates.size >= k else None


Choose = Callable[[np.ndarray], np.ndarray]
"""row float32 [P] -> positions that travel, int64, rising."""
