"""Integers modulo a power of two as a stream of bits."""

from __future__ import annotations

import math

import numpy as np

_WORD = 32


def packed(numbers: np.ndarray, bits: int) -> bytes:
    """The lowest `bits` bits of each of uint32 [n], the highest first; filled up with zeros to a byte."""
    each = np.unpackbits(numbers.astype(">u4").view(np.uint8)).reshape(-1, _WORD)
    return np.packbits(each[:, _WORD - bits :]).tobytes()


def unpacked(content: bytes, bits: int, count: int) -> np.ndarray:
    """What `packed` wrote, uint32 [count]. content: exactly `packed_bytes` long."""
    each = np.zeros((count, _WORD), np.uint8)
    stream = np.unpackbits(np.frombuffer(content, np.uint8), count=count * bits)
    each[:, _WORD - bits :] = stream.reshape(count, bits)
    return np.packbits(each).view(">u4").astype(np.uint32)


def packed_bytes(count: int, bits: int) -> int:
    """Length of `count` packed integers."""
    return math.ceil(count * bits / 8)


def signed(numbers: np.ndarray, bits: int) -> np.ndarray:
    """Integers modulo 2^bits, uint32, as those of least absolute value, int64."""
    found = numbers.astype(np.int64)
    return np.where(found >= 1 << (bits - 1), found - (1 << bits), found)
