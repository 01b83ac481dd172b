"""Block top-k: the blocks of neighbouring coordinates with the largest norms travel."""

from __future__ import annotations

import numpy as np

from federated.compressors.coding.positions import decode_positions, encode_positions
from federated.compressors.compressor import Compressor
from federated.compressors.parts import Parts, Reduced, Reduction, Restorer, Row
from federated.compressors.pipeline import pipeline
from federated.compressors.selections.selection import checked_fraction, largest, scattered, share_of
from federated.compressors.traits import Trait
from federated.compressors.values.quantisation import in_buckets


def block_top_k(fraction: float, block_size: int = 64) -> Compressor:
    """Cut the update into blocks of `block_size` and send the `fraction` of them with the largest L2 norm.

    Zheng et al. 2019, "Communication-efficient distributed blockwise momentum SGD with error-feedback" cut alike;
    the choice of blocks is that of Shi et al. 2019's block-wise top-k. The contraction is that of `top_k` where P
    is a multiple of the block. Positions are of blocks, so they cost next to nothing. Biased.
    """
    checked_fraction(fraction)
    if block_size < 1:
        raise ValueError(f"block_size must be at least 1, got {block_size}")

    def reduce(state: Row, row: np.ndarray, generator: np.random.Generator) -> Reduced:
        blocks = in_buckets(row, block_size)
        squares = np.einsum("bi,bi->b", blocks, blocks, dtype=np.float64)
        chosen = largest(squares, share_of(fraction, len(blocks)))
        positions = _members(chosen, blocks.shape[1], row.size)
        return Reduced(row[positions], encode_positions(chosen, len(blocks)), state)

    def read(content: memoryview, num_parameters: int) -> tuple[Restorer, memoryview]:
        width = min(block_size, num_parameters)
        num_blocks = -(-num_parameters // width)
        chosen, rest = decode_positions(content, share_of(fraction, num_blocks), num_blocks)
        return scattered(_members(chosen, width, num_parameters), num_parameters), rest

    return pipeline(
        Parts(Reduction(b"b", reduce, read, traits=frozenset({Trait.UNBIASED} if fraction == 1 else ())))
    )


def _members(blocks: np.ndarray, width: int, num_parameters: int) -> np.ndarray:
    """Positions of all coordinates of these blocks, rising."""
    positions = (blocks[:, None] * width + np.arange(width)).reshape(-1)
    return positions[positions < num_parameters]
