"""QSGD: unbiased stochastic quantisation to a few bits a coordinate."""

from __future__ import annotations

import math

import numpy as np

from federated.compressors.coding.bits import pack, packed_bytes, unpack
from federated.compressors.coding.payload import PayloadError, expect_bytes, scales_of
from federated.compressors.compressor import Compressor
from federated.compressors.parts import Parts, Values
from federated.compressors.pipeline import pipeline
from federated.compressors.traits import Trait
from federated.compressors.values.quantisation import Norm, codes_of, in_buckets, norms_of, values_of


def qsgd(bits: int, bucket_size: int = 512, norm: Norm = "max") -> Compressor:
    """Round each coordinate at random to one of 2**(bits-1) - 1 levels a sign, without bias.

    Alistarh et al. 2017, "QSGD", section 3.1: x_i -> ||x|| sign(x_i) xi_i with E[xi_i] = |x_i| / ||x||, over
    buckets of `bucket_size` coordinates with a norm each (section 4). `norm="l2"` is the paper's theory, with
    E||Q(x) - x||^2 <= min(d/s^2, sqrt(d)/s) ||x||^2 for s levels and buckets of d; "max" is what its
    experiments scale by and has a far smaller variance. Differs from the paper: codes have a fixed width
    of `bits` (level and sign together) instead of an Elias code; `chain(qsgd(4), entropy)` codes them by their
    frequency. Payload: one 32-bit norm a bucket, then the codes, packed.
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits must be between 2 and 8, got {bits}")
    if bucket_size < 1:
        raise ValueError(f"bucket_size must be at least 1, got {bucket_size}")
    levels = 2 ** (bits - 1) - 1
    wide = 1 << (bits - 1).bit_length()
    aligned = _values(levels, wide, bucket_size, norm)
    return pipeline(Parts(values=_values(levels, bits, bucket_size, norm)._replace(aligned=aligned)))


def _values(levels: int, width: int, bucket_size: int, norm: Norm) -> Values:
    def encode(numbers: np.ndarray, generator: np.random.Generator) -> bytes:
        buckets = in_buckets(numbers, bucket_size)
        norms = norms_of(buckets, norm)
        codes = codes_of(buckets, norms, levels, generator)
        return norms.tobytes() + pack(codes.reshape(-1)[: numbers.size], width)

    def decode(content: memoryview, count: int) -> np.ndarray:
        norms, packed = scales_of(content, math.ceil(count / bucket_size))
        expect_bytes(packed, packed_bytes(count, width))
        codes = unpack(packed, width, count)
        if codes.max(initial=0) > 2 * levels:
            raise PayloadError("payload holds a code that no encoder writes")
        return values_of(codes, norms, levels, bucket_size)

    return Values(b"qs", encode, decode, frozenset({Trait.UNBIASED}), random=True)
