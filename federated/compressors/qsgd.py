"""QSGD: unbiased stochastic quantisation to a few bits a coordinate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from federated.compressors.compressor import (
    CohortState,
    Compressor,
    PayloadError,
    content_of,
    expect_bytes,
    no_state,
    with_header,
)

_TAG = b"qsgd"


def qsgd(bits: int, bucket_size: int = 512, norm: Literal["max", "l2"] = "max") -> Compressor:
    """Round each coordinate at random to one of 2**(bits-1) - 1 levels a sign, without bias.

    Alistarh et al. 2017, "QSGD", section 3.1: x_i -> ||x|| sign(x_i) xi_i with E[xi_i] = |x_i| / ||x||, over
    buckets of `bucket_size` coordinates with a norm each (section 4). `norm="l2"` is the paper's theory, with
    E||Q(x) - x||^2 <= min(d/s^2, sqrt(d)/s) ||x||^2 for s levels and buckets of d; "max" is what its
    experiments scale by and has a far smaller variance. Differs from the paper: codes have a fixed width
    of `bits` (level and sign together) instead of an Elias code. Payload: one 32-bit norm a bucket, then
    the codes, packed.
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits must be between 2 and 8, got {bits}")
    if bucket_size < 1:
        raise ValueError(f"bucket_size must be at least 1, got {bucket_size}")
    levels = 2 ** (bits - 1) - 1

    def encode(
        state: CohortState, deltas: Tensor, generators: Sequence[np.random.Generator]
    ) -> tuple[list[bytes], CohortState]:
        num_parameters = deltas.shape[1]
        rows = deltas.cpu().numpy()
        return [
            with_header(_TAG, num_parameters, _quantise(row, levels, bits, bucket_size, norm, generator))
            for row, generator in zip(rows, generators, strict=True)
        ], state

    def decode(payloads: Sequence[bytes], num_parameters: int) -> Tensor:
        contents = [content_of(payload, _TAG, num_parameters) for payload in payloads]
        return torch.from_numpy(
            np.stack([_restore(c, num_parameters, levels, bits, bucket_size) for c in contents])
        )

    return Compressor(init=no_state, encode=encode, decode=decode)


def _quantise(
    row: np.ndarray, levels: int, bits: int, bucket_size: int, norm: str, generator: np.random.Generator
) -> bytes:
    """Norms, then packed codes `level * sign + levels`, of one client's row [P]."""
    buckets = _in_buckets(row, bucket_size)
    norms = _norms(buckets, norm)
    shares = np.divide(np.abs(buckets), norms[:, None], out=np.zeros_like(buckets), where=norms[:, None] > 0)
    # The sum can round up to the level above the top one, which has no code.
    drawn = np.minimum(np.floor(shares * levels + generator.random(shares.shape, dtype=np.float32)), levels)
    codes = (np.copysign(drawn, buckets) + levels).astype(np.uint8)
    return norms.tobytes() + _pack(codes.reshape(-1)[: row.size], bits)


def _norms(buckets: np.ndarray, norm: str) -> np.ndarray:
    """One 32-bit scale a bucket; no coordinate is larger. Squares of tiny and huge values need 64 bits."""
    if norm == "max":
        return np.asarray(np.abs(buckets).max(axis=1), "<f4")
    exact = np.sqrt(np.einsum("bi,bi->b", buckets, buckets, dtype=np.float64))
    return np.asarray(np.minimum(exact, np.finfo(np.float32).max), "<f4")


def _restore(
    content: memoryview, num_parameters: int, levels: int, bits: int, bucket_size: int
) -> np.ndarray:
    num_buckets = math.ceil(num_parameters / bucket_size)
    expect_bytes(content, 4 * num_buckets + math.ceil(num_parameters * bits / 8))
    norms = np.frombuffer(content, "<f4", count=num_buckets)
    codes = _unpack(np.frombuffer(content, np.uint8, offset=4 * num_buckets), bits, num_parameters)
    if (codes > 2 * levels).any() or not (np.isfinite(norms) & (norms >= 0)).all():
        raise PayloadError("payload holds a code or a norm that no encoder writes")
    # Divided first: norm / levels can round up, and the largest norm would then become infinite.
    shares = (codes.astype(np.float32) - levels) / np.float32(levels)
    values = _in_buckets(shares, bucket_size) * norms[:, None]
    return np.asarray(values.reshape(-1)[:num_parameters], np.float32)


def _in_buckets(row: np.ndarray, bucket_size: int) -> np.ndarray:
    """[P] -> [ceil(P / width), width] with width = min(bucket_size, P), the last bucket filled up with zeros."""
    width = min(bucket_size, row.size)
    num_buckets = math.ceil(row.size / width)
    padded = np.zeros(num_buckets * width, np.float32)
    padded[: row.size] = row
    return padded.reshape(num_buckets, width)


def _pack(codes: np.ndarray, bits: int) -> bytes:
    """Codes uint8 [P], each of `bits` bits, as a stream of bits."""
    each_bit = np.unpackbits(codes[:, None], axis=1)[:, 8 - bits :]
    return np.packbits(each_bit).tobytes()


def _unpack(packed: np.ndarray, bits: int, count: int) -> np.ndarray:
    each_bit = np.unpackbits(packed, count=count * bits).reshape(count, bits)
    padded = np.zeros((count, 8), np.uint8)
    padded[:, 8 - bits :] = each_bit
    return np.packbits(padded, axis=1)[:, 0]
