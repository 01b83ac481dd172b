"""Signs: one bit a number."""

from __future__ import annotations

from typing import Literal

import numpy as np

from federated.compressors.coding.bits import packed_bytes
from federated.compressors.coding.payload import PayloadError, expect_bytes, scales_of
from federated.compressors.compressor import Compressor
from federated.compressors.parts import Parts, Values
from federated.compressors.pipeline import pipeline
from federated.compressors.traits import Trait


def sign(scale: Literal["mean", "one"] = "mean") -> Compressor:
    """Send the sign of every number as one bit, and one size for all of them.

    scale: "mean" is the mean magnitude (Bernstein et al. 2018, "signSGD"; Karimireddy et al. 2019, eq. 3), with
        which the sign is the nearest of all multiples; biased, so combine it with `error_feedback`. "one" sends bare
        votes of 1, for the algorithm `sign_majority`.

    An exact zero takes a side at random, else coordinates that never change would drift; where all numbers are zero,
    zero is what is decoded.
    """
    return pipeline(Parts(values=sign_values(scale)))


def sign_values(scale: Literal["mean", "one"]) -> Values:
    """The values alone, for what else sends signs."""

    votes = scale == "one"

    def encode(numbers: np.ndarray, generator: np.random.Generator) -> bytes:
        size = _mean_magnitude(numbers) if scale == "mean" else np.float32(numbers.any())
        negative = numbers < 0
        zeros = np.flatnonzero(numbers == 0)
        if zeros.size:
            negative[zeros] = generator.integers(2, size=zeros.size, dtype=np.uint8)
        return np.asarray(size, "<f4").tobytes() + np.packbits(negative).tobytes()

    def decode(content: memoryview, count: int) -> np.ndarray:
        size, packed = scales_of(content, 1)
        expect_bytes(packed, packed_bytes(count, 1))
        if votes and size[0] not in (0, 1):
            raise PayloadError(f"payload holds votes of {size[0]}, not of 0 or 1")
        negative = np.unpackbits(np.frombuffer(packed, np.uint8), count=count)
        return np.take(np.array([size[0], -size[0]], np.float32), negative)

    return Values(
        b"s1" if votes else b"sg", encode, decode, frozenset({Trait.VOTES} if votes else ()), random=True
    )


def _mean_magnitude(numbers: np.ndarray) -> np.float32:
    return np.float32(np.abs(numbers).mean(dtype=np.float64)) if numbers.size else np.float32(0)
