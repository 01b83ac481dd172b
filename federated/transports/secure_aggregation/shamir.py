"""Shamir's secret sharing: a secret that any so many of its shares give back, and fewer say nothing of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

PRIME = 2**256 + 297
"""The smallest prime above all secrets of 32 bytes."""
SHARE_BYTES = 33


def shares_of(coefficients: Sequence[int], points: Sequence[int], prime: int = PRIME) -> list[int]:
    """The polynomial's value at each point, modulo the prime; its first coefficient is the secret.

    As many shares as there are coefficients give the secret back (Shamir 1979, "How to Share a Secret"). points: not
    zero, where the secret is, and distinct modulo the prime.
    """
    values = []
    for point in points:
        value = 0
        for coefficient in reversed(coefficients):
            value = (value * point + coefficient) % prime
        values.append(value)
    return values


def secret_of(shares: Mapping[int, int], prime: int = PRIME) -> int:
    """The secret from shares, point -> value, at least as many as there were coefficients."""
    weights = _weights_at_zero(tuple(shares), prime)
    return sum(weight * value for weight, value in zip(weights, shares.values(), strict=True)) % prime


@lru_cache(maxsize=1024)
def _weights_at_zero(points: tuple[int, ...], prime: int) -> list[int]:
    """Lagrange's weights of the values at these points for the value at zero."""
    weights = []
    for point in points:
        above, below = 1, 1
        for other in points:
            if other != point:
                above = above * other % prime
                below = below * (other - point) % prime
        weights.append(above * pow(below, -1, prime) % prime)
    return weights
