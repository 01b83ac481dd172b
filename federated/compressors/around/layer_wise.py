"""Layer by layer: each weight tensor compressed on its own, biases and norms left as they are."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from federated.compressors.coding.payload import PayloadError, expect_bytes, taken
from federated.compressors.compressor import (
    CohortState,
    Compressor,
    content_of,
    nested,
    under,
    with_header,
)
from federated.compressors.none import none
from federated.compressors.parts import Layout
from federated.compressors.traits import Trait

_TAG = b"layr"
_LENGTH = struct.Struct("<I")
_KEPT = {Trait.UNBIASED, Trait.EXPANDS}
"""The traits of the inner compressor that hold of the whole."""


def layer_wise(inner: Compressor) -> Compressor:
    """Compress each tensor of two or more dimensions with `inner` by itself; send the rest as 32-bit floats.

    So each layer has its own scale, its own share of the k largest coordinates, and biases and the parameters of
    normalisation, which are few and sensitive, lose nothing. Payload: for every such tensor, then for the rest
    together, a length of 32 bits and a payload with a header of its own. Raises ValueError where `inner`
    cannot compress one of the tensors.
    """
    _refuse_wrappers(inner)

    def fit(layout: Layout) -> Compressor:
        return _fitted(layout, inner)

    def refuse(*arguments: object) -> None:
        raise RuntimeError("this compressor needs the layout of a model: call fitted(layout) first")

    return Compressor(
        refuse,  # type: ignore[arg-type]
        refuse,  # type: ignore[arg-type]
        refuse,  # type: ignore[arg-type]
        inner.traits & _KEPT,
        fit=fit,
    )


def _refuse_wrappers(inner: Compressor) -> None:
    if inner.traits & {Trait.FEEDBACK, Trait.DIFFERENCE}:
        raise ValueError("inner must not be error_feedback or difference: put it around layer_wise")
    if Trait.VOTES in inner.traits:
        raise ValueError("inner must not be sign(scale=one): biases would be sent as numbers, not as votes")


def _fitted(layout: Layout, inner: Compressor) -> Compressor:
    compressors, places, sizes = _assigned(layout, inner)

    def init(num_clients: int, num_parameters: int) -> CohortState:
        state: CohortState = {}
        for at, compressor in enumerate(compressors):
            state |= under(f"{at}.", compressor.init(num_clients, sizes[at]))
        return state

    def encode(
        state: CohortState, deltas: Tensor, generators: Sequence[np.random.Generator]
    ) -> tuple[list[bytes], CohortState]:
        # Each layer draws numbers of its own.
        drawn = list(zip(*(generators[at].spawn(len(places)) for at in range(len(deltas))), strict=True))
        after: CohortState = {}
        columns = []
        for at, (compressor, place) in enumerate(zip(compressors, places, strict=True)):
            payloads, kept = compressor.encode(nested(state, f"{at}."), deltas[:, place], drawn[at])
            columns.append(payloads)
            after |= under(f"{at}.", kept)
        each = zip(*columns, strict=True)
        return [with_header(_TAG, deltas.shape[1], _framed(payloads)) for payloads in each], after

    def decode(payloads: Sequence[bytes], num_parameters: int) -> Tensor:
        parts = [_unframed(content_of(p, _TAG, num_parameters), len(places)) for p in payloads]
        if num_parameters != sum(sizes):
            raise PayloadError(
                f"the payload is for a model of {num_parameters} parameters, which this is not"
            )
        decoded = torch.empty(len(payloads), num_parameters)
        for at, (compressor, place) in enumerate(zip(compressors, places, strict=True)):
            decoded[:, place] = compressor.decode([part[at] for part in parts], sizes[at])
        return decoded

    return Compressor(init, encode, decode, inner.traits & _KEPT)


def _assigned(layout: Layout, inner: Compressor) -> tuple[list[Compressor], list[slice | Tensor], list[int]]:
    """The compressors, where in an update each works, and on how many numbers: every matrix, then all the rest."""
    compressors, places, sizes, rest, start = [], list[slice | Tensor](), [], list[Tensor](), 0
    for name, shape in layout:
        stop = start + math.prod(shape)
        if len(shape) > 1 and stop > start:
            compressors.append(inner.fitted(((name, shape),)))
            places.append(slice(start, stop))
            sizes.append(stop - start)
        else:
            rest.append(torch.arange(start, stop))
        start = stop
    if others := sum(part.numel() for part in rest):
        return [*compressors, none()], [*places, torch.cat(rest)], [*sizes, others]
    return compressors, places, sizes


def _framed(payloads: Sequence[bytes]) -> bytes:
    return b"".join(_LENGTH.pack(len(payload)) + payload for payload in payloads)


def _unframed(content: memoryview, count: int) -> list[bytes]:
    payloads = []
    for _ in range(count):
        head, content = taken(content, _LENGTH.size)
        payload, content = taken(content, _LENGTH.unpack(head)[0])
        payloads.append(bytes(payload))
    expect_bytes(content, 0)
    return payloads
