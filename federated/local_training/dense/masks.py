"""The dropout masks of a stack of dense layers: what the loop's layers would draw, for a block of steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from federated.local_training.dense.recognise import Dense
from federated.local_training.steps.dropout import DropoutGenerators, as_mask


class StackedMasks:
    """clients: (seed, rounds done, client, stream) of each row of the stack. To be drawn from block by block."""

    def __init__(self, layers: Sequence[Dense], clients: Sequence[tuple[int, int, int, int]]) -> None:
        self._layers = layers
        self._generators = (
            [DropoutGenerators(*key) for key in clients] if any(d.dropout for d in layers) else []
        )

    def draw(self, counts: np.ndarray, width: int, like: Tensor) -> list[Tensor | None]:
        """The masks of each layer's inputs, [c, S x width, inputs]; None where nothing is dropped.

        counts: examples in each batch of the block, int [c, S]; what fills up a short batch gets any mask.
        """
        numbers = iter(range(len(self._layers)))
        return [
            as_mask(self._uniform(next(numbers), counts, width, dense.inputs), dense.dropout, like)
            if dense.dropout
            else None
            for dense in self._layers
        ]

    def _uniform(self, layer: int, counts: np.ndarray, width: int, inputs: int) -> np.ndarray:
        """layer: its number among the dropout layers."""
        clients, steps = counts.shape
        uniform = np.zeros((clients, steps * width, inputs), np.float32)
        for row, generators in enumerate(self._generators[:clients]):
            for low, high in _runs(counts[row], width):
                generators[layer].random(dtype=np.float32, out=uniform[row, low:high])
        return uniform


def _runs(counts: np.ndarray, width: int) -> Iterator[tuple[int, int]]:
    """The positions of the real examples among S x width, in as few pieces as possible; counts int [S]."""
    low = high = 0
    for step, count in enumerate(counts.tolist()):
        if high < step * width:
            if high > low:
                yield low, high
            low = step * width
        high = step * width + count
    if high > low:
        yield low, high
