"""32-bit floats as they are: what values are where a study asks for nothing else."""

from __future__ import annotations

import numpy as np

from federated.compressors.parts import Values
from federated.compressors.reading import expect_bytes


def _encode(numbers: np.ndarray, generator: np.random.Generator) -> memoryview:
    return np.ascontiguousarray(numbers, "<f4").data.cast("B")


def _decode(content: memoryview, count: int) -> np.ndarray:
    expect_bytes(content, 4 * count)
    return np.frombuffer(content, "<f4").astype(np.float32, copy=False)


FLOAT32 = Values(b"f4", _encode, _decode, unbiased=True, whole_model=True)
"""Four bytes a number, little-endian."""
