"""Amounts that are foreseen, and the sizes of payloads of vectors like those of a probe and unlike them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from federated.compressors import Compressor
from federated.foundation.randomness import Purpose, generator
from federated.wire.distortion import is_exact

_SHUFFLED, _LARGE = 6, 2**18
MARGIN, MARGIN_OF_SHORT_ROUNDS = 0.05, 0.25
"""Updates change while a model learns, and with them the payloads of a codec whose size depends on what it sends; those
of a round that was cut short after a few steps are further from a whole round's."""


class Amount(NamedTuple):
    """A quantity that is foreseen: what is expected, between which ends. All equal where it is exact."""

    low: float
    expected: float
    high: float

    @property
    def exact(self) -> bool:
        """Whether the amount is certain."""
        return self.low == self.high

    def times(self, factor: float) -> Amount:
        """So many of it."""
        return Amount(*(factor * value for value in self))


def total(amounts: Iterable[Amount]) -> Amount:
    """The sum, as if all were at the same end at once."""
    parts = list(amounts)
    return Amount(*(sum(values) for values in zip(*parts, strict=True))) if parts else Amount(0, 0, 0)


def sizes(real: Sequence[int], others: Sequence[int], margin: float = MARGIN) -> Amount:
    """Bytes of a payload to come, from payloads of real vectors and of `others` that no training makes.

    Exact where all are of one size, so that the content plays no part: the others are as unlike as can be (`unlike`).
    Else the range of the real ones, and on both sides as much again as they differ by, at least the margin.
    """
    low, high = min(real), max(real)
    if {low, high, *others} == {low}:
        return Amount(low, low, low)
    factor = max(1 + margin, high / low)
    return Amount(low / factor, float(np.mean(real)), high * factor)


def unlike(codec: Compressor, row: Tensor) -> Tensor:
    """Vectors as long as `row` [P] that a codec would code very differently, [n, P]: a single number that is not zero,
    its numbers in rising and in falling order, and in random orders with random exponents, fewer of a large vector,
    where a chance that all payloads are of one size is none. None at all where every number travels as it is."""
    if is_exact(codec):
        return row[None][:0]
    numbers = generator(0, Purpose.FORECAST, row.numel())
    single = torch.zeros_like(row)
    single[-1] = 1.0
    rising = row.abs().sort().values
    shuffled = [
        row[torch.from_numpy(numbers.permutation(row.numel()))]
        * torch.from_numpy(10.0 ** numbers.uniform(-6, 0, row.numel())).to(row)
        for _ in range(_SHUFFLED if row.numel() <= _LARGE else 1)
    ]
    return torch.stack([single, rising, rising.flip(0), *shuffled])


def lengths(codec: Compressor, rows: Tensor) -> list[int]:
    """Bytes of the payloads of vectors [n, P], each as a client's first."""
    numbers = [generator(0, Purpose.FORECAST, at) for at in range(len(rows))]
    payloads, _ = codec.encode(codec.init(*rows.shape), rows, numbers)
    return [len(payload) for payload in payloads]
