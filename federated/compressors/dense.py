"""Values of a fixed width: every number as a float of some type."""

from __future__ import annotations

import math

import numpy as np

from federated.compressors.parts import Values
from federated.compressors.reading import expect_bytes


def dense(tag: bytes, wire_type: str, largest: float, unbiased: bool = False) -> Values:
    """Every number as `wire_type` (a numpy dtype), magnitudes above `largest` clamped to it.

    It may carry a whole model: nothing but precision is lost.
    """
    wire = np.dtype(wire_type)

    def encode(numbers: np.ndarray, generator: np.random.Generator) -> bytes:
        bounded = numbers if math.isinf(largest) else numbers.clip(-largest, largest)
        return bounded.astype(wire, copy=False).tobytes()

    def decode(content: memoryview, count: int) -> np.ndarray:
        expect_bytes(content, wire.itemsize * count)
        return np.frombuffer(content, wire).astype(np.float32, copy=False)

    return Values(tag, encode, decode, unbiased=unbiased, whole_model=True)


FLOAT32 = dense(b"f4", "<f4", math.inf, unbiased=True)
"""32-bit floats as they are: what values are where a study asks for nothing else."""
