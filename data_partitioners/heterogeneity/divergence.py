"""Divergences between label mixes. Mixes are shares that sum to one over the last axis."""

from __future__ import annotations

import numpy as np


def jensen_shannon_bits(mixes: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence in bits, 0 to 1; [..., C] against [..., C] -> [...].

    Lin 1991, "Divergence measures based on the Shannon entropy", eq. 4.1 with two equal weights. Not its
    square root, which is the distance of the same name.
    """
    between = entropy_bits((mixes + other) / 2) - (entropy_bits(mixes) + entropy_bits(other)) / 2
    return np.asarray(np.maximum(between, 0.0))


def hellinger(mixes: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Hellinger distance, 0 to 1: the Euclidean distance of the square roots over the root of 2; [..., C] -> [...]."""
    return np.asarray(np.sqrt(((np.sqrt(mixes) - np.sqrt(other)) ** 2).sum(axis=-1) / 2))


def total_variation(mixes: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Half the L1 distance, 0 to 1; [..., C] -> [...].

    It is the earth mover's distance where any two labels are equally far apart; the "EMD" of Zhao et al. 2018,
    "Federated Learning with Non-IID Data", section 3, is the L1 distance itself, twice this.
    """
    return np.asarray(np.abs(mixes - other).sum(axis=-1) / 2)


def entropy_bits(mixes: np.ndarray) -> np.ndarray:
    """Shannon entropy in bits, 0 log 0 = 0; [..., C] -> [...]."""
    logs = np.log2(mixes, out=np.zeros_like(mixes), where=mixes > 0)
    return np.asarray(np.maximum(-(mixes * logs).sum(axis=-1), 0.0))


def pairwise_hellinger(mixes: np.ndarray) -> np.ndarray:
    """Hellinger distance of every pair of clients once; [..., K, C] -> [..., K (K - 1) / 2].

    By the product of the square roots (the Bhattacharyya coefficients), which is why this and no other
    divergence is measured between pairs. Distances below 1e-7 are rounding.
    """
    roots = np.sqrt(mixes)
    alike = roots @ np.swapaxes(roots, -1, -2)
    one, other = np.triu_indices(mixes.shape[-2], k=1)
    return np.asarray(np.sqrt(np.maximum(1 - alike[..., one, other], 0.0)))
