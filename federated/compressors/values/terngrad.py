"""TernGrad: minus, zero or plus the largest magnitude, without bias."""

from __future__ import annotations

import math

import numpy as np

from federated.compressors.coding.payload import PayloadError, expect_bytes, scales_of
from federated.compressors.compressor import Compressor
from federated.compressors.parts import Parts, Values
from federated.compressors.pipeline import pipeline
from federated.compressors.traits import Trait
from federated.compressors.values.quantisation import codes_of, in_buckets, norms_of, values_of

_POWERS = np.array([81, 27, 9, 3, 1], np.uint8)
_DIGITS = (np.arange(243)[:, None] // _POWERS % 3).astype(np.uint8)


def terngrad(clip: float | None = None) -> Compressor:
    """Each number becomes -s, 0 or s with s the largest magnitude, at random, so that the mean is the number.

    Wen et al. 2017, "TernGrad", eq. 3. Five numbers are one byte (1.6 bits each), behind one 32-bit s.
    `layer_wise(terngrad)` has an s for each tensor, as in the paper.

    clip: bound magnitudes to this many standard deviations first (section 3.3 has 2.5), which makes s and so the
        variance far smaller, and biased; null: never.
    """
    if clip is not None and not 0 < clip < math.inf:
        raise ValueError(f"clip must be a finite number > 0, or null, got {clip}")

    def scaled(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(numbers [1, n], their scale [1])."""
        row = in_buckets(numbers, max(numbers.size, 1))
        scale = norms_of(row, "max")
        if clip is None or not scale.any():
            return row, scale
        bound = scale * np.float32(min(clip * (row / scale).std(dtype=np.float64), 1))
        return row.clip(-bound, bound), bound

    def encode(numbers: np.ndarray, generator: np.random.Generator) -> bytes:
        row, scale = scaled(numbers)
        codes = codes_of(row, scale, 1, generator).reshape(-1)[: numbers.size]
        return scale.astype("<f4").tobytes() + _pack_ternary(codes)

    def decode(content: memoryview, count: int) -> np.ndarray:
        scale, packed = scales_of(content, 1)
        return values_of(_unpack_ternary(packed, count), scale, 1, max(count, 1))

    traits = frozenset({Trait.UNBIASED} if clip is None else ())
    return pipeline(Parts(values=Values(b"te", encode, decode, traits, random=True)))


def _pack_ternary(codes: np.ndarray) -> bytes:
    """Codes 0, 1, 2, five of them as the digits of a byte in base 3; zeros fill the last."""
    digits = np.zeros(5 * math.ceil(codes.size / 5), np.uint8)
    digits[: codes.size] = codes
    return (digits.reshape(-1, 5) @ _POWERS).tobytes()


def _unpack_ternary(packed: memoryview, count: int) -> np.ndarray:
    expect_bytes(packed, math.ceil(count / 5))
    codes = np.frombuffer(packed, np.uint8)
    if codes.max(initial=0) > 242:
        raise PayloadError("payload holds a code that no encoder writes")
    digits: np.ndarray = np.take(_DIGITS, codes, axis=0).reshape(-1)[:count]
    return digits
