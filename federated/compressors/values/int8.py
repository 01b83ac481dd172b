"""Eight-bit integers with a scale."""

from __future__ import annotations

import math

import numpy as np

from federated.compressors.coding.payload import PayloadError, expect_bytes, scales_of
from federated.compressors.compressor import Compressor
from federated.compressors.parts import Parts, Values
from federated.compressors.pipeline import pipeline
from federated.compressors.values.quantisation import in_buckets, norms_of


def int8(block_size: int | None = None) -> Compressor:
    """Round every number to the nearest of 255 evenly spaced ones between -max and max of its block.

    Dettmers et al. 2022, "8-bit optimizers via block-wise quantization", with an even grid instead of a dynamic
    one. Deterministic; the error is at most max / 254.
    Payload: one 32-bit scale a block, then a byte a number.

    block_size: numbers that share a scale; null: all of them (`layer_wise(int8)` has a scale for each tensor).
    """
    if block_size is not None and block_size < 1:
        raise ValueError(f"block_size must be at least 1, or null, got {block_size}")

    def width(count: int) -> int:
        return block_size or max(count, 1)

    def encode(numbers: np.ndarray, generator: np.random.Generator) -> bytes:
        blocks = in_buckets(numbers, width(numbers.size))
        scales = norms_of(blocks, "max")
        codes = np.rint(blocks / np.where(scales > 0, scales, 1)[:, None] * np.float32(127)).astype(np.int8)
        return scales.tobytes() + codes.reshape(-1)[: numbers.size].tobytes()

    def decode(content: memoryview, count: int) -> np.ndarray:
        scales, coded = scales_of(content, math.ceil(count / width(count)))
        expect_bytes(coded, count)
        codes = np.frombuffer(coded, np.int8)
        if codes.min(initial=0) == -128:
            raise PayloadError("payload holds a code that no encoder writes")
        blocks = in_buckets(codes.astype(np.float32) / np.float32(127), width(count))
        blocks *= scales[:, None]
        return blocks.reshape(-1)[:count]

    return pipeline(Parts(values=Values(b"i8", encode, decode)))
