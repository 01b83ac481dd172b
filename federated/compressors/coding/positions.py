"""Positions in rising order as few bytes: gaps in a Golomb-Rice code, a bitmap, or plain integers."""

from __future__ import annotations

import math
import struct

import numpy as np

from federated.compressors.coding.bits import pack, packed_bytes, unpack
from federated.compressors.coding.payload import PayloadError, expect_bytes, taken

_PLAIN = 255
_RICE = struct.Struct("<BI")


def encode_positions(positions: np.ndarray, size: int) -> bytes:
    """Strictly rising positions [k] below `size`, in whichever form is shortest; nothing where all or none are told.

    Golomb-Rice with parameter l (Golomb 1966; Rice 1979): a gap g between neighbours is its l low bits and
    g >> l zeros before a one. l = 0 is the bitmap of what travels. Form: l as one byte, the length of the
    zeros and ones as 32 bits, all low bits, all zeros and ones: apart, so that both are read at once. Plain
    integers have 2 bytes (4 where size > 65,536) and are shorter for a few positions only.
    """
    if positions.size in (0, size):
        return b""
    gaps = _gaps(positions)
    low_bits = _best_low_bits(gaps)
    coded = _rice_bytes(gaps, low_bits)
    plain = _plain_type(size)
    if positions.size * plain.itemsize + 1 <= coded:
        return bytes([_PLAIN]) + positions.astype(plain).tobytes()
    return _rice(gaps, low_bits)


def decode_positions(content: memoryview, count: int, size: int) -> tuple[np.ndarray, memoryview]:
    """(positions int64 [count], the rest of the content). Raises `PayloadError` where no encoder wrote it."""
    if count in (0, size):
        return np.arange(count), content
    form, _ = taken(content, 1)
    if form[0] == _PLAIN:
        plain = _plain_type(size)
        told, rest = taken(content[1:], count * plain.itemsize)
        positions = np.frombuffer(told, plain).astype(np.int64)
    else:
        positions, rest = _read_rice(content, count, size)
    if positions[-1] >= size or (np.diff(positions) <= 0).any():
        raise PayloadError(f"payload positions do not rise strictly below {size}")
    return positions, rest


def _gaps(rising: np.ndarray) -> np.ndarray:
    """The number of skipped positions before each one, from -1 on; numpy.diff with a prepended number takes longer."""
    gaps: np.ndarray = rising.copy()
    gaps[1:] -= rising[:-1] + 1
    return gaps


def _plain_type(size: int) -> np.dtype[np.unsignedinteger]:
    return np.dtype("<u2" if size <= 2**16 else "<u4")


def _best_low_bits(gaps: np.ndarray) -> int:
    """The parameter with the shortest code; for gaps of a random choice it is near log2(ln 2 x mean gap)."""
    guess = round(math.log2(max(math.log(2) * (float(gaps.sum()) / gaps.size + 1), 1)))
    return min(range(max(guess - 1, 0), guess + 2), key=lambda low_bits: _rice_bytes(gaps, low_bits))


def _rice_bytes(gaps: np.ndarray, low_bits: int) -> int:
    ones_and_zeros = gaps.size + int((gaps >> low_bits).sum())
    return _RICE.size + _low_bytes(gaps.size, low_bits) + math.ceil(ones_and_zeros / 8)


def _rice(gaps: np.ndarray, low_bits: int) -> bytes:
    ends = np.cumsum((gaps >> low_bits) + 1) - 1
    unary = np.zeros(int(ends[-1]) + 1, np.uint8)
    unary[ends] = 1
    stream = np.packbits(unary).tobytes()
    return _RICE.pack(low_bits, len(stream)) + _pack_low(gaps, low_bits) + stream


def _read_rice(content: memoryview, count: int, size: int) -> tuple[np.ndarray, memoryview]:
    head, rest = taken(content, _RICE.size)
    low_bits, length = _RICE.unpack(head)
    if low_bits > 31 or length > math.ceil((count + (size >> low_bits)) / 8):
        raise PayloadError("payload positions have a form that no encoder writes")
    low, rest = taken(rest, _low_bytes(count, low_bits))
    stream, rest = taken(rest, length)
    ends = np.flatnonzero(np.unpackbits(np.frombuffer(stream, np.uint8)))
    if ends.size != count or length != ends[-1] // 8 + 1:
        raise PayloadError(f"payload tells {ends.size} positions, expected {count}")
    gaps = (_gaps(ends) << low_bits) | _unpack_low(low, low_bits, count)
    return np.cumsum(gaps + 1) - 1, rest


def _low_bytes(count: int, low_bits: int) -> int:
    return count * (low_bits // 8) + packed_bytes(count, low_bits % 8)


def _pack_low(gaps: np.ndarray, low_bits: int) -> bytes:
    """The low bits of every gap: whole bytes first, the lowest of all gaps before the next, then what is left."""
    whole, rest = divmod(low_bits, 8)
    planes = [(gaps >> (8 * at) & 0xFF).astype(np.uint8).tobytes() for at in range(whole)]
    left = (gaps >> (8 * whole) & ((1 << rest) - 1)).astype(np.uint8)
    return b"".join(planes) + (pack(left, rest) if rest else b"")


def _unpack_low(low: memoryview, low_bits: int, count: int) -> np.ndarray:
    expect_bytes(low, _low_bytes(count, low_bits))
    whole, rest = divmod(low_bits, 8)
    gaps = np.zeros(count, np.int64)
    for at in range(whole):
        gaps |= np.frombuffer(low[at * count : (at + 1) * count], np.uint8).astype(np.int64) << (8 * at)
    if rest:
        gaps |= unpack(low[whole * count :], rest, count).astype(np.int64) << (8 * whole)
    return gaps
