"""32-bit floats as they are: what values are where a study asks for nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from federated.compressors.coding.payload import expect_bytes
from federated.compressors.parts import Values
from federated.compressors.traits import Trait


def _encode(numbers: np.ndarray, generator: np.random.Generator) -> memoryview:
    return _bytes_of(numbers)


def _bytes_of(numbers: np.ndarray) -> memoryview:
    return np.ascontiguousarray(numbers, "<f4").data.cast("B")


def _decode(content: memoryview, count: int) -> np.ndarray:
    expect_bytes(content, 4 * count)
    return np.frombuffer(content, "<f4").astype(np.float32, copy=False)


FLOAT32 = Values(b"f4", _encode, _decode, frozenset({Trait.UNBIASED, Trait.WHOLE_MODEL}))
"""Four bytes a number, little-endian."""


def encode_rows(header: bytes, rows: np.ndarray) -> list[bytes]:
    """The payloads of a whole cohort [C, P] that sends every number: the header and the row."""
    return [b"".join((header, _bytes_of(row))) for row in rows]


def decode_rows(contents: Sequence[memoryview], count: int) -> np.ndarray:
    """The numbers [C, count] of all of them, with no call of numpy's for each client. Raises `PayloadError`."""
    numbers, size = np.empty((len(contents), count), "<f4"), 4 * count
    room = numbers.reshape(-1).view(np.uint8).data
    for at, content in enumerate(contents):
        expect_bytes(content, size)
        room[at * size : (at + 1) * size] = content
    return numbers.astype(np.float32, copy=False)
