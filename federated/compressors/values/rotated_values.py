"""Values after a random rotation, which makes them almost Gaussian: what DRIVE and EDEN share."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from federated.compressors.coding.bits import pack, packed_bytes, unpack
from federated.compressors.coding.payload import expect_bytes, scales_of, taken
from federated.compressors.parts import Values
from federated.compressors.traits import Trait
from federated.compressors.values.rotation import block_sizes, turn
from federated.foundation.randomness import seeded

_SEED_BYTES = 8
_POSITIVE = {
    1: (0.7978845608,),
    2: (0.4527800398, 1.5104176087),
    3: (0.2450941789, 0.7560052812, 1.3439092598, 2.1519457045),
    4: (
        0.1283950299,
        0.3880482887,
        0.6567591185,
        0.9423404965,
        1.2562311974,
        1.6180463695,
        2.0690172840,
        2.7326357763,
    ),
}
CENTROIDS = {
    bits: np.array([*(-c for c in reversed(half)), *half], np.float32) for bits, half in _POSITIVE.items()
}
"""The centroids of Lloyd and Max for the standard normal distribution (Max 1960, table 1), float32 [2**bits]."""


def rotated_values(bits: float, unbiased: bool) -> Values:
    """Values of `bits` (1 to 4) bits after a rotation; see `eden`."""
    narrow, share = int(bits), bits - int(bits)

    def encode(numbers: np.ndarray, generator: np.random.Generator) -> bytes:
        seed = generator.bytes(_SEED_BYTES)
        draws, scales, codes = seeded(seed), [], []
        for blocks in _blocks(numbers):
            width = blocks.shape[1]
            largest = np.abs(blocks).max(axis=1, keepdims=True)
            spun = turn(draws, *blocks.shape).forward(blocks / np.where(largest > 0, largest, 1))
            split = _wide(width, share)
            coded, scale = _quantised(spun, narrow, split, unbiased)
            scales.append(np.concatenate([largest, scale], axis=1).astype("<f4").tobytes())
            codes.append(pack(coded[:, :split].reshape(-1), narrow + 1) if split else b"")
            codes.append(pack(coded[:, split:].reshape(-1), narrow))
        return seed + b"".join(scales) + b"".join(codes)

    def decode(content: memoryview, count: int) -> np.ndarray:
        seed, rest = taken(content, _SEED_BYTES)
        sizes = block_sizes(count)
        scales, rest = scales_of(rest, 2 * sum(number for number, _ in sizes))
        draws, numbers, at = seeded(bytes(seed)), np.empty(count, np.float32), 0
        for number, width in sizes:
            split = _wide(width, share)
            mine, scales = scales[: 2 * number].reshape(-1, 2), scales[2 * number :]
            upper, rest = _read(rest, narrow + 1, number, split)
            lower, rest = _read(rest, narrow, number, width - split)
            spun = np.concatenate([upper, lower], axis=1) if split else lower
            spun *= mine[:, 1:]
            here = slice(at, min(at + number * width, count))
            turned = turn(draws, number, width).backward(spun)
            numbers[here] = _unscaled(turned, mine[:, :1]).reshape(-1)[: here.stop - at]
            at = here.stop
        expect_bytes(rest, 0)
        return numbers

    tag = b"R" + bytes([ord("0") + math.ceil(bits)])  # with a small r, one rotation
    return Values(tag, encode, decode, frozenset({Trait.UNBIASED} if unbiased else ()), random=True)


def _blocks(numbers: np.ndarray) -> Iterator[np.ndarray]:
    """The numbers in blocks [n, width], the last filled up with zeros."""
    at = 0
    for number, width in block_sizes(numbers.size):
        here = slice(at, at + number * width)
        yield _filled(numbers[here], number, width)
        at = here.stop


def _filled(part: np.ndarray, number: int, width: int) -> np.ndarray:
    if part.size == number * width:
        return part.reshape(number, width)
    filled = np.zeros(number * width, np.float32)
    filled[: part.size] = part
    return filled.reshape(number, width)


def _wide(width: int, share: float) -> int:
    """The number of a block's rotated numbers that get the extra bit of a fractional bit rate."""
    return round(width * share)


def _quantised(spun: np.ndarray, narrow: int, split: int, unbiased: bool) -> tuple[np.ndarray, np.ndarray]:
    """(codes uint8 [n, width], scale [n, 1]) of rotated blocks."""
    squares = np.einsum("bi,bi->b", spun, spun, dtype=np.float64)[:, None]
    size = np.sqrt(squares / spun.shape[1])
    shape = spun / np.where(size > 0, size, 1).astype(np.float32)
    codes = np.empty(spun.shape, np.uint8)
    decoded = np.empty_like(spun)
    for part, bits in ((slice(0, split), narrow + 1), (slice(split, None), narrow)):
        if shape[:, part].size:
            centroids = CENTROIDS[bits]
            codes[:, part] = _nearest(centroids, shape[:, part])
            decoded[:, part] = np.take(centroids, codes[:, part])
    inner = np.einsum("bi,bi->b", spun, decoded, dtype=np.float64)[:, None]
    own = np.einsum("bi,bi->b", decoded, decoded, dtype=np.float64)[:, None]
    scale = squares / np.where(inner > 0, inner, 1) if unbiased else inner / own
    return codes, scale


def _nearest(centroids: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The nearest centroid of each number, uint8: the number of borders below it; quicker than a binary search."""
    codes = np.zeros(numbers.shape, np.uint8)
    for border in (centroids[1:] + centroids[:-1]) / 2:
        codes += numbers > border
    return codes


def _read(content: memoryview, bits: int, number: int, width: int) -> tuple[np.ndarray, memoryview]:
    """(centroids [number, width], the rest)."""
    if not width:
        return np.empty((number, 0), np.float32), content
    packed, rest = taken(content, packed_bytes(number * width, bits))
    return np.take(CENTROIDS[bits], unpack(packed, bits, number * width)).reshape(number, width), rest


def _unscaled(blocks: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Times the size they had; what a 32-bit float cannot hold becomes its largest."""
    with np.errstate(over="ignore"):
        top = np.finfo(np.float32).max
        unscaled: np.ndarray = np.clip(blocks * largest, -top, top)
    return unscaled
