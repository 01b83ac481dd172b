"""Intervals over clients that are valid for few clients with very unequal sizes and gains.

A percentile interval of resampled clients, which is usual, covers 84 % with 5 clients and 89 % with 10 whose gains are
normal. Student's, with the degrees of freedom that unequal sizes leave (Bell and McCaffrey 2002; Imbens and Kolesar
2016), covers 95 % of these, but 89 % of gains as skewed as exponential numbers. The studentised bootstrap (Hall 1988)
covers 94 % of those, but 90 to 93 % where sizes are unequal too. The interval here holds both: `benchmarks/rates.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FEWEST_CLIENTS = 5
"""Below, nothing is known of how clients spread: a skewed spread and an even one look the same."""

RESAMPLES = 2000
_LEVEL = 0.95
_AT_A_TIME = 1_000_000  # numbers of a block of resamples
_NO_SPREAD = 1e-12
_NEARLY_ALL = 0.999
"""Beyond this share of the examples with one client nothing is left to tell how clients spread, nor digits to do so."""


class ClientSums(NamedTuple):
    """Of each client [K]: the sum of a measure over its examples, and how many those are."""

    sums: np.ndarray
    sizes: np.ndarray

    def mean(self) -> float:
        """Over all examples."""
        return float(self.sums.sum() / self.sizes.sum())


Group = tuple[ClientSums | None, ClientSums | None]
"""Of the same clients: what counts as it is, and what is subtracted."""
Interval = tuple[float, float]


class _Estimates(NamedTuple):
    """Of a group, in every resample [R]: the difference of its means, and the variance of that."""

    value: np.ndarray
    variance: np.ndarray


def interval_over_clients(groups: Sequence[Group], numbers: np.random.Generator) -> Interval | None:
    """The 95 % interval of the sum of what independent groups of clients come to.

    The hull of Student's interval and of the studentised bootstrap's. None where a group has fewer than five clients
    with examples; where one client holds nearly all; and where so many are alike that resamples have no spread.
    """
    groups = [_with_examples(group) for group in groups]
    if any(_clients(group) < FEWEST_CLIENTS or _weights(group).max() > _NEARLY_ALL for group in groups):
        return None
    found = [_estimates(group, np.ones((1, _clients(group)))) for group in groups]
    value, parts = sum(float(each.value[0]) for each in found), [float(each.variance[0]) for each in found]
    error = np.sqrt(sum(parts))
    freedom = _freedom_together(parts, [_freedom(_weights(group)) for group in groups])
    if not error > _NO_SPREAD:
        return None
    studentised = _studentised(groups, numbers, value)
    if studentised is None:
        return None
    from scipy.stats import t

    half = float(t.ppf((1 + _LEVEL) / 2, freedom))
    low, high = max(half, studentised[1]), max(half, -studentised[0])
    return value - low * error, value + high * error


def _studentised(
    groups: Sequence[Group], numbers: np.random.Generator, value: float
) -> tuple[float, float] | None:
    """Both quantiles of (value in a resample - value) / its error there; None without a spread to divide by."""
    resampled = [_resampled(group, numbers) for group in groups]
    values, variance = (np.sum([each[part] for each in resampled], axis=0) for part in (0, 1))
    ends = (1 - _LEVEL) / 2, (1 + _LEVEL) / 2
    spread = variance > _NO_SPREAD**2
    if np.mean(~spread) > ends[0]:
        return None
    low, high = np.quantile((values[spread] - value) / np.sqrt(variance[spread]), ends)
    return float(low), float(high)


def _resampled(group: Group, numbers: np.random.Generator) -> _Estimates:
    """In RESAMPLES resamples of a group's clients."""
    count = _clients(group)
    block = max(1, _AT_A_TIME // count)
    made = []
    for start in range(0, RESAMPLES, block):
        rows = min(block, RESAMPLES - start)
        times = numbers.multinomial(count, np.full(count, 1 / count), size=rows)
        made.append(_estimates(group, times.astype(np.float64)))
    return _Estimates(*(np.concatenate(parts) for parts in zip(*made, strict=True)))


def _estimates(group: Group, times: np.ndarray) -> _Estimates:
    """The estimates with client k counted times[r, k] times in resample r.

    The variance is that of a ratio of sums, each client's part of it divided by what the mean has taken from it, so
    that it is unbiased for clients alike in spread.
    """
    value, parts, weights = np.zeros(len(times)), np.zeros_like(times), np.zeros_like(times)
    members = [(sign, own) for sign, own in zip((1, -1), group, strict=True) if own is not None]
    for sign, own in members:
        total = times @ own.sizes.astype(np.float64)
        total[total == 0] = np.nan
        mean = times @ own.sums / total
        value += sign * mean
        parts += sign * (own.sums - mean[:, None] * own.sizes) / total[:, None]
        weights += own.sizes / total[:, None] / len(members)
    left = 1 - 2 * weights + (times * weights**2).sum(axis=1, keepdims=True)
    return _Estimates(value, np.nan_to_num((times * parts**2 / np.maximum(left, _NO_SPREAD)).sum(axis=1)))


def _weights(group: Group) -> np.ndarray:
    """The share of each client [K] in its group's means."""
    shares = np.array([own.sizes / own.sizes.sum() for own in group if own is not None])
    weights: np.ndarray = shares.mean(axis=0)
    return weights


def _freedom(weights: np.ndarray) -> float:
    """Satterthwaite's degrees of freedom of the variance above, for clients alike in spread: K - 1 if sizes are equal,
    and never below 1.

    The variance is y'Qy with Q = A - a w' - w a' + s w w', where w are the weights, A = diag(a) and s the sum of a.
    """
    square = weights @ weights
    a = weights**2 / np.maximum(1 - 2 * weights + square, _NO_SPREAD)
    total, mixed, own = a.sum(), a @ weights, a @ a
    trace = total - 2 * mixed + total * square
    of_square = (
        own
        + 2 * (a @ (total * weights**2 - 2 * a * weights))
        + 2 * own * square
        + 2 * mixed**2
        + (total * square) ** 2
        - 4 * total * mixed * square
    )
    return max(1.0, float(trace**2 / of_square)) if of_square > 0 else 1.0


def _freedom_together(variances: Sequence[float], freedoms: Sequence[float]) -> float:
    """Of a sum of independent parts: Welch 1947."""
    below = sum(part**2 / freedom for part, freedom in zip(variances, freedoms, strict=True) if freedom > 0)
    return sum(variances) ** 2 / below if below > 0 else 0.0


def _clients(group: Group) -> int:
    return next(len(own.sizes) for own in group if own is not None)


def _with_examples(group: Group) -> Group:
    """Without clients that hold no example of either part."""
    some = np.any([own.sizes > 0 for own in group if own is not None], axis=0)
    first, second = (own and ClientSums(own.sums[some], own.sizes[some]) for own in group)
    return first, second
