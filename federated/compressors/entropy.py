"""Entropy coding: bytes by their frequency, close to Shannon's bound."""

from __future__ import annotations

import struct
from typing import Any

import constriction
import numpy as np

from federated.compressors.coding.payload import PayloadError, expect_bytes, taken
from federated.compressors.compressor import Compressor
from federated.compressors.parts import Lossless, Parts
from federated.compressors.pipeline import pipeline

_PLAIN, _CODED, _ONE = 0, 1, 2
_HEAD = struct.Struct("<BI")
_TABLE_BYTES = 32


def entropy() -> Compressor:
    """Code bytes by their frequency in this payload, with asymmetric numeral systems; for the end of a chain.

    Duda 2009; the library is constriction (Bamler 2022). Within a thousandth of the order-0 entropy, plus a table
    of 32 bytes and 2 for every byte value that occurs. What would not get shorter stays as it is, behind
    one byte. Positions and values are coded apart, each with its own table.
    """
    return pipeline(Parts(lossless=Lossless(b"e", _squeeze, _expand)))


def _squeeze(content: bytes) -> bytes:
    if not content:
        return b""
    plain = bytes([_PLAIN]) + content
    symbols = np.frombuffer(content, np.uint8)
    counts = np.bincount(symbols, minlength=256)
    present = np.flatnonzero(counts)
    if present.size == 1:
        return min(plain, _HEAD.pack(_ONE, symbols.size) + bytes([symbols[0]]), key=len)
    shares = np.clip(np.round(counts[present] / symbols.size * 65535), 1, 65535).astype("<u2")
    table = np.packbits(counts > 0).tobytes() + shares.tobytes()
    if _HEAD.size + len(table) + _bytes_at_least(counts[present]) >= len(plain):
        return plain
    coded = _HEAD.pack(_CODED, symbols.size) + table + _words(symbols, present, shares)
    return min(plain, coded, key=len)


def _bytes_at_least(counts: np.ndarray) -> float:
    """Shannon's bound: the code of bytes that occur so often is not shorter."""
    return float(-(counts * np.log2(counts / counts.sum())).sum() / 8)


def _words(symbols: np.ndarray, present: np.ndarray, shares: np.ndarray) -> bytes:
    ranks = np.zeros(256, np.int32)
    ranks[present] = np.arange(present.size)
    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(ranks[symbols], _model(shares))
    words: np.ndarray = coder.get_compressed().astype("<u4")
    return words.tobytes()


def _model(shares: np.ndarray) -> Any:
    """The same on both ends: from integers."""
    return constriction.stream.model.Categorical(
        shares.astype(np.float32) / np.float32(shares.sum(dtype=np.int64)), perfect=False
    )


def _expand(content: memoryview, most: int) -> bytes:
    if not len(content):
        return b""
    if content[0] == _PLAIN:
        return bytes(content[1:])
    head, rest = taken(content, _HEAD.size)
    form, count = map(int, _HEAD.unpack(head))
    if form not in (_CODED, _ONE) or not 0 < count <= most:
        raise PayloadError(f"payload claims {count} coded bytes in form {form}; at most {most} are expected")
    if form == _ONE:
        expect_bytes(rest, 1)
        return bytes(rest) * count
    return _decoded(rest, count)


def _decoded(content: memoryview, count: int) -> bytes:
    bitmap, rest = taken(content, _TABLE_BYTES)
    present = np.flatnonzero(np.unpackbits(np.frombuffer(bitmap, np.uint8))).astype(np.uint8)
    told, words = taken(rest, 2 * present.size)
    shares = np.frombuffer(told, "<u2")
    if present.size < 2 or not shares.all() or len(words) % 4:
        raise PayloadError("payload has a table of frequencies that no encoder writes")
    try:
        coder = constriction.stream.stack.AnsCoder(np.frombuffer(words, "<u4").astype(np.uint32))
    except ValueError as error:
        raise PayloadError(f"payload cannot be decoded: {error}") from error
    symbols = coder.decode(_model(shares), count)
    if not coder.is_empty():
        raise PayloadError("payload has more coded bytes than it claims")
    decoded: np.ndarray = present[symbols]
    return decoded.tobytes()
