"""The interface of a compressor, three pure functions on a cohort matrix, and the header of every payload."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from federated.compressors.coding.payload import PayloadError
from federated.compressors.parts import Layout, Parts
from federated.compressors.traits import NO_TRAITS, Traits

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
    traits: what may be assumed of it.
    parts: what a chain joins; None where the compressor is no part of one.
    fit: makes the compressor for a model's layout, where it needs one; raises ValueError where the two cannot
        work together. Use `fitted`.
    """

    init: Callable[[int, int], CohortState]
    encode: Encode
    decode: Decode
    traits: Traits = NO_TRAITS
    parts: Parts | None = None
    fit: Callable[[Layout], Compressor] | None = None

    def fitted(self, layout: Layout) -> Compressor:
        """The compressor for a model. Raises ValueError where it cannot work with that model."""
        return self if self.fit is None else self.fit(layout)


def nested(state: CohortState, prefix: str) -> CohortState:
    """The part of a compressor's state that belongs to a compressor inside it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def under(prefix: str, state: CohortState) -> CohortState:
    """The state of a compressor inside another, named so that `nested` finds it again."""
    return {prefix + name: value for name, value in state.items()}


_HEADER = struct.Struct("<4sI")
HEADER_BYTES = _HEADER.size
"""8 bytes before the content of every payload: a tag of four letters and P as an unsigned 32-bit integer."""


def with_header(tag: bytes, num_parameters: int, *contents: bytes | memoryview) -> bytes:
    """One payload: header, then the contents one after another."""
    return b"".join((header_of(tag, num_parameters), *contents))


def header_of(tag: bytes, num_parameters: int) -> bytes:
    """The header with which every payload of a kind starts."""
    return _HEADER.pack(tag, num_parameters)


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
