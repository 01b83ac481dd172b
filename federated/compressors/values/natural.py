"""Natural compression: powers of two, without bias."""

from __future__ import annotations

import numpy as np

from federated.compressors.coding.bits import packed_bytes
from federated.compressors.coding.payload import PayloadError, expect_bytes, taken
from federated.compressors.compressor import Compressor
from federated.compressors.parts import Parts, Values
from federated.compressors.pipeline import pipeline
from federated.compressors.traits import Trait

_BLOCK = 2**16


def natural() -> Compressor:
    """Round every number to one of the two powers of two beside it, at random, so that the mean is the number.

    Horvath et al. 2022, "Natural compression for distributed deep learning", definition 1;
    E||Q(x) - x||^2 <= ||x||^2 / 8 (theorem 1). Payload: one bit of sign and eight of exponent a number, all signs
    first. Exponents are few: `chain(natural, entropy)` needs about half. Magnitudes above 2**127 stay there.
    """
    return pipeline(Parts(values=Values(b"na", _encode, _decode, frozenset({Trait.UNBIASED}), random=True)))


def _encode(numbers: np.ndarray, generator: np.random.Generator) -> bytes:
    """A mantissa plus 23 random bits carries into the exponent as often as the mantissa is large."""
    exponents = np.empty(numbers.size, np.uint8)
    for start in range(0, numbers.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        magnitudes = np.ascontiguousarray(np.abs(numbers[part])).view(np.uint32)
        drawn = generator.integers(2**23, size=magnitudes.size, dtype=np.uint32)
        exponents[part] = np.minimum((magnitudes + drawn) >> np.uint32(23), np.uint32(254))
    return np.packbits(np.signbit(numbers)).tobytes() + exponents.tobytes()


def _decode(content: memoryview, count: int) -> np.ndarray:
    signs, coded = taken(content, packed_bytes(count, 1))
    expect_bytes(coded, count)
    exponents = np.frombuffer(coded, np.uint8)
    if exponents.max(initial=0) == 255:
        raise PayloadError("payload holds an exponent that no encoder writes")
    negative = np.unpackbits(np.frombuffer(signs, np.uint8), count=count).astype(np.uint32)
    return ((negative << 31) | (exponents.astype(np.uint32) << 23)).view(np.float32)
