"""Codes of a few bits as a stream of bits, and back, eight codes at a time."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

_PAIRS = np.uint64(0x00FF00FF00FF00FF)
_FOURS = np.uint64(0x0000FFFF0000FFFF)
_HALVES = np.uint64(0x00000000FFFFFFFF)
_FEW = 2**12  # codes up to which numpy's own bits are quicker than words, which take a dozen steps


def pack(codes: np.ndarray, bits: int) -> bytes:
    """Codes uint8 [n], each below 2**bits, as n x bits bits, the highest first; filled up with zeros to a byte.

    Eight codes are one 64-bit word whose bytes move together in three steps, each halving the gaps.
    """
    if bits == 8:
        return codes.tobytes()
    if codes.size <= _FEW:
        return np.packbits(np.unpackbits(codes).reshape(-1, 8)[:, 8 - bits :]).tobytes()
    words = np.zeros(-(-codes.size // 8), ">u8")
    words.view(np.uint8)[: codes.size] = codes
    word = words.astype(np.uint64)
    for mask, lane in ((_PAIRS, 8), (_FOURS, 16), (_HALVES, 32)):
        used = np.uint64(lane * bits // 8)
        word = (word & mask) | ((word >> np.uint64(lane) & mask) << used)
    packed = word.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 8 - bits :]
    return packed.tobytes()[: packed_bytes(codes.size, bits)]


def unpack(packed: memoryview, bits: int, count: int) -> np.ndarray:
    """The codes, uint8 [count], of a stream that `pack` wrote; exactly `packed_bytes` long."""
    if bits == 8:
        return np.frombuffer(packed, np.uint8)
    if count <= _FEW:
        each = np.unpackbits(np.frombuffer(packed, np.uint8), count=count * bits).reshape(-1, bits)
        return np.packbits(each, axis=1).reshape(-1) >> np.uint8(8 - bits)
    words = np.zeros((-(-count // 8), 8), np.uint8)
    stream = np.zeros(words.shape[0] * bits, np.uint8)
    stream[: len(packed)] = np.frombuffer(packed, np.uint8)
    words[:, 8 - bits :] = stream.reshape(-1, bits)
    word = words.view(">u8").astype(np.uint64).reshape(-1)
    for mask, used, gap in _spreads(bits):
        word = (word & mask) | ((word >> used & mask) << gap)
    return word.astype(">u8").view(np.uint8)[:count]


def packed_bytes(count: int, bits: int) -> int:
    """Length of `count` codes of `bits` bits, packed."""
    return math.ceil(count * bits / 8)


@lru_cache
def _spreads(bits: int) -> list[tuple[np.uint64, np.uint64, np.uint64]]:
    """(mask, used, lane) of each step: of lanes of 2 x `lane` bits, whose lower 2 x `used` count, one half moves up."""
    steps = []
    for lane in (32, 16, 8):
        used = lane * bits // 8
        mask = sum(((1 << used) - 1) << start for start in range(0, 64, 2 * lane))
        steps.append((np.uint64(mask), np.uint64(used), np.uint64(lane)))
    return steps
