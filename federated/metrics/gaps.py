"""The two gaps of federated generalisation, with intervals over clients.

Yuan, Morningstar, Ning and Singhal 2022, "What do we mean by generalization in federated learning?"
(arXiv:2110.14216), section 2: the out-of-sample gap is what participating clients' own unseen examples cost, the
participation gap what clients that never took part cost on top. As there, examples count alike; the signs are
such that a positive gap is a loss of quality, for accuracy and for errors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from federated.metrics.client_intervals import ClientSums, Interval, interval_over_clients


class Gap(NamedTuple):
    """A gap with its interval over clients, see `interval_over_clients`; without one where there are too few."""

    value: float
    low: float | None
    high: float | None


def out_of_sample_gap(
    training: ClientSums, held_out: ClientSums, sign: int, numbers: np.random.Generator
) -> Gap:
    """sign x (training - held-out mean) of the same clients [K], which are resampled with both of their parts.

    sign: 1 where more is better, -1 for errors.
    """
    value = training.mean() - held_out.mean()
    return _signed(value, interval_over_clients([(training, held_out)], numbers), sign)


def participation_gap(
    held_out: ClientSums, unseen: ClientSums, sign: int, numbers: np.random.Generator
) -> Gap:
    """sign x (held-out mean of participating clients [K] - mean of unseen clients [U]), resampled apart."""
    value = held_out.mean() - unseen.mean()
    apart = interval_over_clients([(held_out, None), (None, unseen)], numbers)
    return _signed(value, apart, sign)


def mean_over_clients(values: np.ndarray, numbers: np.random.Generator) -> Gap:
    """The mean of values [K], every client alike, with its interval over clients."""
    own = ClientSums(values, np.ones(len(values), np.int64))
    return _signed(own.mean(), interval_over_clients([(own, None)], numbers), 1)


def _signed(value: float, ends: Interval | None, sign: int) -> Gap:
    low, high = sorted(sign * end for end in ends) if ends is not None else (None, None)
    return Gap(sign * value, low, high)
