"""Stochastic rounding to evenly spaced levels, bucket by bucket: what QSGD and TernGrad share."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

_BLOCK = 2**16

Norm = Literal["max", "l2"]


def in_buckets(row: np.ndarray, bucket_size: int) -> np.ndarray:
    """[n] -> [ceil(n / width), width] with width = min(bucket_size, n), the last bucket filled up with zeros.

    A view where nothing has to be filled up.
    """
    width = max(min(bucket_size, row.size), 1)
    num_buckets = math.ceil(row.size / width)
    if row.size == num_buckets * width:
        return row.reshape(num_buckets, width)
    padded = np.zeros(num_buckets * width, row.dtype)
    padded[: row.size] = row
    return padded.reshape(num_buckets, width)


def norms_of(buckets: np.ndarray, norm: Norm) -> np.ndarray:
    """One 32-bit scale a bucket; no coordinate is larger. Squares of tiny and huge values need 64 bits."""
    if norm == "max":
        largest: np.ndarray = np.maximum(buckets.max(axis=1, initial=0), -buckets.min(axis=1, initial=0))
        return largest.astype("<f4")
    exact = np.sqrt(np.einsum("bi,bi->b", buckets, buckets, dtype=np.float64))
    return np.asarray(np.minimum(exact, np.finfo(np.float32).max), "<f4")


def codes_of(
    buckets: np.ndarray, norms: np.ndarray, levels: int, generator: np.random.Generator
) -> np.ndarray:
    """Each coordinate as level + `levels`, uint8 [buckets, width], drawn with mean x / norm x levels.

    A few buckets at a time, which stay in the processor's cache.
    """
    codes = np.empty(buckets.shape, np.uint8)
    divisors = np.where(norms > 0, norms, 1)[:, None]
    step = max(_BLOCK // max(buckets.shape[1], 1), 1)
    for start in range(0, len(buckets), step):
        part = slice(start, start + step)
        shares = buckets[part] / divisors[part]
        shares *= levels
        shares += generator.random(shares.shape, dtype=np.float32)
        np.floor(shares, out=shares)
        # The sum can round up to the level above the top one, which has no code.
        np.minimum(shares, levels, out=shares)
        shares += levels
        codes[part] = shares
    return codes


def values_of(codes: np.ndarray, norms: np.ndarray, levels: int, bucket_size: int) -> np.ndarray:
    """Codes [n] back to float32 [n]."""
    # Divided first: norm / levels can round up, and the largest norm would then become infinite.
    shares = (np.arange(2 * levels + 1, dtype=np.float32) - levels) / np.float32(levels)
    values = in_buckets(np.take(shares, codes), bucket_size)
    values *= norms[:, None]
    return values.reshape(-1)[: codes.size]
