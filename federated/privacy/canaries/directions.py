"""The directions of canaries, and how far a vector points along them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from federated.foundation.randomness import Purpose, generator

_LENGTH = 1e12
"""Its square is a number of 32 bits."""
_BLOCK_NUMBERS, _BLOCK_CANARIES = 4_000_000, 128
_BLOCKS_KEPT = 8
MOST_KEPT = _BLOCKS_KEPT * _BLOCK_NUMBERS
"""Numbers that are kept in memory, 128 MB; where there are more, all are drawn anew each time."""


def directions(seed: int, canaries: Sequence[int], dimension: int) -> Tensor:
    """Unit vectors float32 [c, dimension], each uniform on the sphere: a function of the seed and its canary's number.

    All arms of a study that share a seed have the same canaries.
    """
    rows = _rows(dimension)
    return torch.stack([_block(seed, at // rows, rows, dimension)[at % rows] for at in canaries])


def long_updates(seed: int, canaries: Sequence[int], dimension: int) -> Tensor:
    """What canaries would send if nothing bounded it, [c, dimension]: along their directions, longer than any norm.

    A mechanism that bounds updates brings them to exactly its norm.
    """
    return directions(seed, canaries, dimension) * _LENGTH


def alignments(seed: int, count: int, vector: Tensor) -> np.ndarray:
    """The cosines between a vector [P] and the directions of the canaries 0, 1, ... count - 1, float64 [count].

    Zeros for a vector of zeros, which points nowhere.
    """
    moved = vector.detach().cpu().double()
    length = torch.linalg.vector_norm(moved)
    unit = (moved / length if length > 0 else moved).float()
    rows = _rows(len(unit))
    blocks = [_block(seed, number, rows, len(unit)) for number in range(-(-count // rows))]
    return torch.cat([block @ unit for block in blocks])[:count].double().numpy()


def _rows(dimension: int) -> int:
    return min(max(1, _BLOCK_NUMBERS // dimension), _BLOCK_CANARIES)


@lru_cache(_BLOCKS_KEPT)
def _block(seed: int, number: int, rows: int, dimension: int) -> Tensor:
    """The directions [rows, dimension] from canary number * rows on; never written to."""
    each = [
        generator(seed, Purpose.CANARIES, canary).standard_normal(dimension, np.float32)
        for canary in range(number * rows, (number + 1) * rows)
    ]
    drawn = torch.from_numpy(np.stack(each))
    unit: Tensor = drawn / torch.linalg.vector_norm(drawn, dim=1, keepdim=True)
    return unit
