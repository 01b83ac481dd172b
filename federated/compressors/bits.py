"""Codes of a few bits as a stream of bits, and back, eight codes at a time."""

from __future__ import annotations

import math

import numpy as np

_PAIRS = np.uint64(0x00FF00FF00FF00FF)
_FOURS = np.uint64(0x0000FFFF0000FFFF)
_HALVES = np.uint64(0x00000000FFFFFFFF)


def pack(codes: np.ndarray, bits: int) -> bytes:
    """Codes uint8 [n], each below 2**bits, as n x bits bits, the highest first; filled up with zeros to a byte.

    Eight codes are one 64-bit word whose bytes move together in three steps, each halving the gaps.
    """
    if bits == 8:
        return codes.tobytes()
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
    words = np.zeros((-(-count // 8), 8), np.uint8)
    stream = np.zeros(words.shape[0] * bits, np.uint8)
    stream[: len(packed)] = np.frombuffer(packed, np.uint8)
    words[:, 8 - bits :] = stream.reshape(-1, bits)
    word = words.view(">u8").astype(np.uint64).reshape(-1)
    for lane in (32, 16, 8):
        word = _spread(word, lane, lane * bits // 8)
    return word.astype(">u8").view(np.uint8)[:count]


def packed_bytes(count: int, bits: int) -> int:
    """Length of `count` codes of `bits` bits, packed."""
    return math.ceil(count * bits / 8)


def _spread(word: np.ndarray, lane: int, used: int) -> np.ndarray:
    """In lanes of 2 x `lane` bits, move the upper half of the 2 x `used` bits that are used up to the middle."""
    low = np.uint64(sum(((1 << used) - 1) << start for start in range(0, 64, 2 * lane)))
    return (word & low) | ((word >> np.uint64(used) & low) << np.uint64(lane))
