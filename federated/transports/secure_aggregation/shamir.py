"""Shamir's secret sharing: a secret that any so many of its shares give back, and fewer say nothing of."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np

from federated.foundation.randomness import Purpose, generator

PRIME = 2**256 + 297
"""The smallest prime above all secrets of 32 bytes."""
SHARE_BYTES = 33
_TRIES = 1_000
"""Sets of shares that are tried where the first gives another secret: with shares of 54 clients of which 37 rebuild a
secret, five false ones are missed with a chance of one in seven, four with one in a thousand."""


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


def secret_of(shares: Mapping[int, int], prime: int = PRIME, at: int = 0) -> int:
    """The secret from shares, point -> value, at least as many as there were coefficients.

    at: another point, whose share is asked for in place of the secret.
    """
    weights = _weights(tuple(shares), prime, at)
    return sum(weight * value for weight, value in zip(weights, shares.values(), strict=True)) % prime


def recovered(
    shares: Mapping[int, int], needed: int, fits: Callable[[int], bool], doubted: Collection[int] = ()
) -> tuple[int, list[int]] | None:
    """(the secret, the points of the false shares that were met on the way); None where no shares were found that fit.

    needed: so many shares rebuild the secret. fits: whether a number is the secret, which tells a false share where
    there are more than needed. doubted: points whose shares come last.
    """
    ordered = sorted(shares, key=lambda point: (point in doubted, point))
    for tries, points in enumerate(_sets(ordered, needed)):
        used = {point: shares[point] for point in points}
        if fits(value := secret_of(used)):
            told = shares.items() if tries else ()
            return value, [point for point, share in told if secret_of(used, at=point) != share % PRIME]
    return None


def _sets(points: Sequence[int], size: int) -> Iterator[tuple[int, ...]]:
    """The first points, then all other sets of this size, or where those are too many some at random."""
    if math.comb(len(points), size) <= _TRIES:
        yield from combinations(points, size)
        return
    yield tuple(points[:size])
    numbers = generator(0, Purpose.NEIGHBOURS)  # of no result: whichever set fits gives the same secret
    for _ in range(_TRIES):
        yield tuple(points[at] for at in np.sort(numbers.choice(len(points), size, replace=False)).tolist())


@lru_cache(maxsize=1024)
def _weights(points: tuple[int, ...], prime: int, at: int) -> list[int]:
    """Lagrange's weights of the values at these points for the value at one point."""
    weights = []
    for point in points:
        above, below = 1, 1
        for other in points:
            if other != point:
                above = above * (at - other) % prime
                below = below * (point - other) % prime
        weights.append(above * pow(below, -1, prime) % prime)
    return weights
