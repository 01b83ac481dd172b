"""Brain floating point: the range of 32-bit floats in two bytes."""

from __future__ import annotations

import numpy as np

from federated.compressors.coding.payload import expect_bytes
from federated.compressors.compressor import Compressor
from federated.compressors.parts import Parts, Values
from federated.compressors.pipeline import pipeline
from federated.compressors.traits import Trait

_LARGEST = np.uint32(0x7F7F)


def bfloat16() -> Compressor:
    """Round every number to the nearest bfloat16, ties to even: the upper half of a 32-bit float, 2 bytes each.

    Deterministic; relative error at most 2**-8. Magnitudes that would round to infinity become the largest
    finite one, 3.39e38.
    """
    return pipeline(Parts(values=Values(b"b2", _encode, _decode, frozenset({Trait.WHOLE_MODEL}))))


def _encode(numbers: np.ndarray, generator: np.random.Generator) -> bytes:
    whole = np.ascontiguousarray(numbers, np.float32).view(np.uint32)
    magnitude = whole & np.uint32(0x7FFFFFFF)
    rounded = (magnitude + np.uint32(0x7FFF) + ((magnitude >> 16) & np.uint32(1))) >> 16
    upper: np.ndarray = np.minimum(rounded, _LARGEST) | ((whole >> 16) & np.uint32(0x8000))
    return upper.astype("<u2").tobytes()


def _decode(content: memoryview, count: int) -> np.ndarray:
    expect_bytes(content, 2 * count)
    return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
