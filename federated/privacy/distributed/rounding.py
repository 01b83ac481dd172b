"""Updates as noisy integers, and their sum as an update."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from federated.compressors.coding.payload import PayloadError
from federated.compressors.compressor import CohortState, Compressor, content_of, with_header
from federated.compressors.traits import Trait
from federated.compressors.values.rotation import block_sizes, turn
from federated.privacy.distributed.discrete_gaussian import discrete_gaussian
from federated.privacy.distributed.grid import Grid

_TAG = b"dgs4"
_TRIES = 60
"""Each succeeds with a chance of two in five at least."""


def on_grid(grid: Grid, norm: float, size: int, public: np.random.Generator) -> Compressor:
    """Rotate, round at random within the grid's reach, add noise: 32-bit integers whose sums decode to the sum.

    public: numbers that clients and server share, of the rotation, which is one for all: numbers change places at
    random and are rotated in blocks, so that no few of them outweigh the others. Updates are `norm` long at
    most: longer ones are shortened.
    """
    turns = [(turn(public, number, width), number, width) for number, width in block_sizes(size)]
    places, step = public.permutation(grid.width), grid.step * norm

    def rotated(row: np.ndarray) -> np.ndarray:
        padded = np.zeros(grid.width, np.float32)
        padded[:size] = row
        padded = padded[places]
        parts, at = [], 0
        for each, number, width in turns:
            blocks = padded[at : at + number * width].reshape(number, width)
            parts.append(each.forward(blocks).reshape(-1))
            at += number * width
        found = np.concatenate(parts).astype(np.float64) / step
        length = float(np.linalg.norm(found))
        return found * min(1.0, 1 / (grid.step * length)) if length else found

    def unrotated(numbers: np.ndarray) -> np.ndarray:
        parts, at = [], 0
        for each, number, width in turns:
            blocks = (numbers[at : at + number * width] * step).astype(np.float32).reshape(number, width)
            parts.append(each.backward(blocks).reshape(-1))
            at += number * width
        found = np.empty(grid.width, np.float32)
        found[places] = np.concatenate(parts)
        return found[:size]

    def encode(
        state: CohortState, deltas: Tensor, generators: Sequence[np.random.Generator]
    ) -> tuple[list[bytes], CohortState]:
        payloads = []
        for row, numbers in zip(deltas.cpu().numpy(), generators, strict=True):
            whole = rounded_within(rotated(row), grid.reach, numbers)
            noisy = whole + discrete_gaussian(grid.deviation, grid.width, numbers)
            payloads.append(with_header(_TAG, size, noisy.astype(np.uint32).astype("<u4").tobytes()))
        return payloads, {}

    def decode(payloads: Sequence[bytes], num_parameters: int) -> Tensor:
        rows = []
        for payload in payloads:
            content = content_of(payload, _TAG, num_parameters)
            if len(content) != 4 * grid.width:
                raise PayloadError(f"payload has {len(content)} bytes, expected {4 * grid.width}")
            rows.append(unrotated(np.frombuffer(content, "<i4")))
        return torch.from_numpy(np.stack(rows))

    return Compressor(lambda clients, size: {}, encode, decode, frozenset({Trait.ADDITIVE}))


def rounded_within(row: np.ndarray, reach: float, numbers: np.random.Generator) -> np.ndarray:
    """A row float64 [n] rounded up or down at random, again and again until it is at most `reach` long, int64 [n].

    Conditioned on its length, rounding has a little bias, and the reach is certain, which noise needs. A row that never
    gets there is shortened: that would take one in 10^13 of those that are short enough.
    """
    while True:
        for _ in range(_TRIES):
            whole = np.floor(row + numbers.random(row.size))
            if np.linalg.norm(whole) <= reach:
                return whole.astype(np.int64)
        row = 0.99 * row
