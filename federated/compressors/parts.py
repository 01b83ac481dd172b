"""The parts of a compressor: reduction to fewer numbers, coding of numbers as bytes, lossless compression of bytes.

Clients are encoded one at a time: operations on a vector of a million numbers are vectorised already, and one vector
fits in the processor's cache more often than a whole cohort does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from federated.compressors.traits import NO_TRAITS, Traits

Layout = Sequence[tuple[str, tuple[int, ...]]]
"""(name, shape) of every tensor in a flat update, in order."""
Row = dict[str, np.ndarray]
"""What a reduction remembers of one client: name -> array."""


class Reduced(NamedTuple):
    """numbers float32 [n]: the numbers sent in place of a row; told: the bytes that encode their positions."""

    numbers: np.ndarray
    told: bytes
    state: Row


class Restorer(NamedTuple):
    """size: how many numbers to expect; restore: numbers [size] -> row float32 [P]."""

    size: int
    restore: Callable[[np.ndarray], np.ndarray]


class Reduction(NamedTuple):
    """The reduction of an update to fewer numbers, which are sent in its place.

    tag: one letter of the payload's header.
    reduce: (state, row float32 [P], the client's generator) -> Reduced. Never changes the row.
    read: (content that starts with what was told, P) -> (Restorer, the rest of the content); raises
        `PayloadError` where no encoder wrote it.
    init: P -> the state of a client that has never sent anything, where there is any.
    traits: UNBIASED, EXPANDS or neither. random: draws from the generator; a client's costs 20 us to make.
    """

    tag: bytes
    reduce: Callable[[Row, np.ndarray, np.random.Generator], Reduced]
    read: Callable[[memoryview, int], tuple[Restorer, memoryview]]
    init: Callable[[int], Row] = lambda num_parameters: {}
    traits: Traits = NO_TRAITS
    random: bool = False


class Values(NamedTuple):
    """The coding of numbers as bytes.

    tag: two letters of the payload's header.
    encode: (numbers float32 [n], the client's generator) -> bytes, or a view of bytes. Never changes the numbers.
    decode: (bytes, n) -> float32 [n], finite; raises `PayloadError` where no encoder wrote the bytes.
    traits: some of UNBIASED, WHOLE_MODEL and VOTES. random: draws from the generator.
    aligned: the same with no code across the border of two bytes, which entropy coding needs; None: it is so.
    """

    tag: bytes
    encode: Callable[[np.ndarray, np.random.Generator], bytes | memoryview]
    decode: Callable[[memoryview, int], np.ndarray]
    traits: Traits = NO_TRAITS
    random: bool = False
    aligned: Values | None = None


class Lossless(NamedTuple):
    """The lossless compression of bytes.

    tag: one letter of the payload's header.
    squeeze: bytes -> bytes. expand: (bytes, most) -> the bytes before; raises `PayloadError` where they would be
        more than `most` or no encoder wrote them.
    """

    tag: bytes
    squeeze: Callable[[bytes], bytes]
    expand: Callable[[memoryview, int], bytes]


class Parts(NamedTuple):
    """The parts of a compressor; None: every number, 32-bit floats, bytes as they are.

    fit: makes the reduction for a model's layout, where it needs one; raises ValueError where it cannot.
    """

    reduction: Reduction | None = None
    values: Values | None = None
    lossless: Lossless | None = None
    fit: Callable[[Layout], Reduction] | None = None
