"""What a compressor is: three pure functions on a cohort matrix, and the header every payload starts with."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

CohortState = dict[str, Tensor]
"""What a compressor remembers of each client of a cohort: name -> [C, ...]. Empty for most compressors."""

Encode = Callable[[CohortState, Tensor, Sequence[np.random.Generator]], tuple[list[bytes], CohortState]]
Decode = Callable[[Sequence[bytes], int], Tensor]


class Compressor(NamedTuple):
    """The wire between a client and the server.

    init: (C, P) -> the state of C clients that have never sent anything.
    encode: (state, deltas float32 [C, P], one generator a client) -> (one payload a client, new state).
    decode: (payloads, P) -> float32 [C, P], from the bytes alone. P is what the server expects of its own
        model; a payload that says otherwise raises `PayloadError`, before anything is allocated.
    whole_model: may also carry whole parameters (the downlink), not only updates. A compressor that drops
        or coarsely rounds coordinates may not.
    """

    init: Callable[[int, int], CohortState]
    encode: Encode
    decode: Decode
    whole_model: bool = False


class PayloadError(ValueError):
    """A payload is truncated, corrupted or not for this model."""


def no_state(num_clients: int, num_parameters: int) -> CohortState:
    """The `init` of a compressor that remembers nothing."""
    return {}


_HEADER = struct.Struct("<4sI")
HEADER_BYTES = _HEADER.size
"""8 bytes before the content of every payload: a tag of four letters and P as an unsigned 32-bit integer."""


def with_header(tag: bytes, num_parameters: int, content: bytes) -> bytes:
    """One payload: header, then content."""
    return _HEADER.pack(tag, num_parameters) + content


def content_of(payload: bytes, tag: bytes, num_parameters: int) -> memoryview:
    """The content behind the header. Raises `PayloadError` where the header is not the one expected."""
    if len(payload) < HEADER_BYTES:
        raise PayloadError(f"payload of {len(payload)} bytes is shorter than its header of {HEADER_BYTES}")
    found, size = _HEADER.unpack_from(payload)
    if found != tag:
        raise PayloadError(f"payload starts with {found!r}, expected {tag!r}")
    if size != num_parameters:
        raise PayloadError(f"payload is for {size} parameters, the model has {num_parameters}")
    return memoryview(payload)[HEADER_BYTES:]


def expect_bytes(content: memoryview, expected: int) -> None:
    """Raise `PayloadError` unless the content has exactly the expected length."""
    if len(content) != expected:
        raise PayloadError(f"payload content has {len(content)} bytes, expected {expected}")
