"""Shift of numbers: how far the distribution of a client's features, or targets, is from the pool's.

Wasserstein-1 distances of one-dimensional distributions; for features of more dimensions the mean over random
directions (Rabin et al. 2011, "Wasserstein Barycenter and its Application to Texture Mixing", eq. 8, there with
squared distances). Values are put into 64 equally full bins of the pool first, each standing at its mean, so
that a partition is a table of counts and thousands of them are compared quickly. The unit is the pool's
standard deviation along the direction.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

DIRECTIONS = 16
BINS = 64
_NUMBERS_AT_A_TIME = 8_000_000


class Binned(NamedTuple):
    """Values by their bin. cells: int [M, D], the bin, numbered through all D directions; gaps: float [D, BINS - 1]."""

    cells: np.ndarray
    gaps: np.ndarray


def projected(features: np.ndarray, rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Some rows of features [N, ...] along 16 random directions, float64 [M, 16]; one feature stays as it is."""
    width = int(np.prod(features.shape[1:]))
    if width == 1:
        return np.asarray(features[rows].reshape(-1, 1), np.float64)
    directions = generator.standard_normal((width, DIRECTIONS), dtype=np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    at_a_time = max(1, _NUMBERS_AT_A_TIME // width)
    parts = [rows[start : start + at_a_time] for start in range(0, len(rows), at_a_time)]
    flat = [features[part].reshape(len(part), width).astype(np.float32) @ directions for part in parts]
    return np.concatenate(flat).astype(np.float64)


def binned(values: np.ndarray) -> Binned:
    """Values [M, D] in units of their standard deviation, in equally full bins. Equal values share a bin."""
    deviations = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(deviations > 0, deviations, 1.0)
    edges = np.quantile(scaled, np.arange(1, BINS) / BINS, axis=0)
    columns = [np.searchsorted(edges[:, d], scaled[:, d], side="right") for d in range(scaled.shape[1])]
    cells = np.stack(columns, axis=1) + BINS * np.arange(scaled.shape[1])
    number = BINS * scaled.shape[1]
    full = np.bincount(cells.ravel(), minlength=number)
    sums = np.bincount(cells.ravel(), weights=scaled.ravel(), minlength=number)
    # An empty bin stands where the one before does, so that nothing is carried to it.
    means = np.where(full > 0, sums / np.maximum(full, 1), -np.inf).reshape(-1, BINS)
    filled = np.maximum.accumulate(means, axis=1)
    with np.errstate(invalid="ignore"):  # before the first full bin: -inf - -inf
        return Binned(cells, np.nan_to_num(np.diff(filled, axis=1), nan=0.0, posinf=0.0))


def wasserstein(values: Binned, owners: np.ndarray, num_clients: int) -> np.ndarray:
    """Distance of each client's values from all of them, mean over directions, float [K].

    owners: int [M], the client of each value, everyone at least once.
    """
    number = values.gaps.shape[0] * BINS
    cells = (owners[:, None] * number + values.cells).ravel()
    counts = np.bincount(cells, minlength=num_clients * number).reshape(num_clients, -1, BINS)
    below = counts.cumsum(axis=2)[:, :, :-1]
    sizes = np.bincount(owners, minlength=num_clients)[:, None, None]
    apart = np.abs(below / sizes - below.sum(axis=0) / len(owners))
    return np.asarray((apart * values.gaps).sum(axis=2).mean(axis=1))


def random_wasserstein(
    values: Binned, owners: np.ndarray, num_clients: int, draws: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """The same for `draws` random partitions with the same sizes, float [K] each: owners are shuffled."""
    for _ in range(draws):
        yield wasserstein(values, generator.permutation(owners), num_clients)
