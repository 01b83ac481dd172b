"""The two gaps of federated generalisation, with intervals over clients.

Yuan, Morningstar, Ning and Singhal 2022, "What do we mean by generalization in federated learning?"
(arXiv:2110.14216), section 2: the out-of-sample gap is what participating clients' own unseen examples cost, the
participation gap what clients that never took part cost on top. As there, examples count alike; the signs are
such that a positive gap is a loss of quality, for accuracy and for errors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

RESAMPLES = 2000
_LEVEL = 0.95
_AT_A_TIME = 2_000_000  # numbers of a block of resamples


class ClientSums(NamedTuple):
    """Of each client [K]: the sum of a measure over its examples, and how many those are."""

    sums: np.ndarray
    sizes: np.ndarray

    def mean(self) -> float:
        """Over all examples."""
        return float(self.sums.sum() / self.sizes.sum())


class Gap(NamedTuple):
    """A gap with its percentile interval over resampled clients; without one below two clients."""

    value: float
    low: float | None
    high: float | None


def out_of_sample_gap(
    training: ClientSums, held_out: ClientSums, sign: int, numbers: np.random.Generator
) -> Gap:
    """sign x (training - held-out mean) of the same clients [K], which are resampled with both of their parts.

    sign: 1 where more is better, -1 for errors.
    """
    value = sign * (training.mean() - held_out.mean())
    return _with_interval(value, *_resampled((training, held_out), numbers), sign=sign)


def participation_gap(
    held_out: ClientSums, unseen: ClientSums, sign: int, numbers: np.random.Generator
) -> Gap:
    """sign x (held-out mean of participating clients [K] - mean of unseen clients [U]), resampled apart."""
    value = sign * (held_out.mean() - unseen.mean())
    return _with_interval(
        value, *_resampled((held_out,), numbers), *_resampled((unseen,), numbers), sign=sign
    )


def mean_over_clients(values: np.ndarray, numbers: np.random.Generator) -> Gap:
    """The mean of values [K], every client alike, with its interval over resampled clients."""
    own = ClientSums(values, np.ones(len(values), np.int64))
    (means,) = _resampled((own,), numbers)
    return _with_interval(own.mean(), means, np.zeros_like(means), sign=1)


def _resampled(parts: tuple[ClientSums, ...], numbers: np.random.Generator) -> list[np.ndarray]:
    """The mean of each part in every resample of the clients, [RESAMPLES] each; NaN where it has no example."""
    count = len(parts[0].sizes)
    if count < 2:
        return [np.empty(0)] * len(parts)
    means: list[list[np.ndarray]] = [[] for _ in parts]
    block = max(1, _AT_A_TIME // count)
    for start in range(0, RESAMPLES, block):
        rows = min(block, RESAMPLES - start)
        times = numbers.multinomial(count, np.full(count, 1 / count), size=rows)
        for made, part in zip(means, parts, strict=True):
            sizes = (times @ part.sizes).astype(np.float64)
            sizes[sizes == 0] = np.nan
            made.append(times @ part.sums / sizes)
    return [np.concatenate(made) for made in means]


def _with_interval(value: float, first: np.ndarray, second: np.ndarray, *, sign: int) -> Gap:
    if not len(first) or not len(second):
        return Gap(value, None, None)
    low, high = np.nanquantile(sign * (first - second), [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Gap(value, float(low), float(high))
