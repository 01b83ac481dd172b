"""A compressor from its parts: reduction, then values, then lossless coding; each payload is one client's."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from federated.compressors.coding.payload import PayloadError, taken
from federated.compressors.compressor import CohortState, Compressor, content_of, header_of
from federated.compressors.float32 import FLOAT32, decode_rows, encode_rows
from federated.compressors.parts import Layout, Lossless, Parts, Reduced, Reduction, Restorer, Row, Values
from federated.compressors.traits import Trait, Traits
from federated.foundation.randomness import seeded

_NO_NUMBERS = seeded(b"")
_LENGTH = struct.Struct("<I")


def _every_number() -> Reduction:
    return Reduction(
        tag=b"-",
        reduce=lambda state, row, generator: Reduced(row, b"", state),
        read=lambda content, num_parameters: (Restorer(num_parameters, lambda numbers: numbers), content),
        traits=frozenset({Trait.UNBIASED}),
    )


def pipeline(parts: Parts) -> Compressor:
    """The compressor that these parts make.

    Payload: header (its tag names the parts), what the reduction tells, the values. With lossless coding: the
    length of the first as 32 bits, then both, each coded on its own.
    """
    if parts.fit is not None:
        return _unfitted(parts)
    reduction, values = parts.reduction or _every_number(), parts.values or FLOAT32
    lossless = parts.lossless
    if lossless is not None:
        values = values.aligned or values
    as_they_are, draws = not any(parts), reduction.random or values.random
    tag = reduction.tag + values.tag + (lossless.tag if lossless else b"-")

    def init(num_clients: int, num_parameters: int) -> CohortState:
        fresh = reduction.init(num_parameters)
        return {name: torch.from_numpy(np.stack([value] * num_clients)) for name, value in fresh.items()}

    def encode(
        state: CohortState, deltas: Tensor, generators: Sequence[np.random.Generator]
    ) -> tuple[list[bytes], CohortState]:
        rows, header, payloads, states = deltas.cpu().numpy(), header_of(tag, deltas.shape[1]), [], []
        if as_they_are:
            return encode_rows(header, rows), {}
        for at, row in enumerate(rows):
            generator = generators[at] if draws else _NO_NUMBERS
            reduced = reduction.reduce(_row(state, at), row, generator)
            contents = _coded(reduced.told, values.encode(reduced.numbers, generator), lossless)
            payloads.append(b"".join((header, *contents)))
            states.append(reduced.state)
        stacked = {name: np.stack([each[name] for each in states]) for name in state}
        return payloads, {name: torch.from_numpy(v).to(deltas.device) for name, v in stacked.items()}

    def one_by_one(contents: Sequence[memoryview], num_parameters: int) -> np.ndarray:
        decoded = np.empty((len(contents), num_parameters), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # hostile numbers; what comes out is looked at
            for row, content in zip(decoded, contents, strict=True):
                told, coded = _parted(content, num_parameters, lossless)
                restorer, rest = reduction.read(told, num_parameters)
                if lossless is None:
                    coded = rest
                elif len(rest):
                    raise PayloadError(f"payload tells {len(rest)} bytes more than its reduction needs")
                row[:] = restorer.restore(values.decode(coded, restorer.size))
        return decoded

    def decode(payloads: Sequence[bytes], num_parameters: int) -> Tensor:
        contents = [content_of(payload, tag, num_parameters) for payload in payloads]
        read = decode_rows if as_they_are else one_by_one
        numbers = torch.from_numpy(read(contents, num_parameters))
        # What is not finite shows in the sum, which is quick; a sum may also overflow.
        if not (numbers.sum().isfinite() or numbers.isfinite().all()):
            raise PayloadError("payload holds a number that is not finite")
        return numbers

    return Compressor(
        init=init,
        encode=encode,
        decode=decode,
        traits=_traits(parts, reduction, values),
        parts=parts,
    )


def _traits(parts: Parts, reduction: Reduction, values: Values) -> Traits:
    """The traits of the whole: unbiased where both parts are; votes lose more than small updates have."""
    found = reduction.traits & values.traits & {Trait.UNBIASED}
    found |= (reduction.traits & {Trait.EXPANDS}) | (values.traits & {Trait.VOTES})
    if parts.reduction is None:
        found |= values.traits & {Trait.WHOLE_MODEL}
    return found | {Trait.EXPANDS} if Trait.VOTES in found else found


def _unfitted(parts: Parts) -> Compressor:
    """Not yet made for a model."""
    assert parts.fit is not None
    make = parts.fit

    def fit(layout: Layout) -> Compressor:
        return pipeline(parts._replace(reduction=make(layout), fit=None))

    def refuse(*arguments: object) -> None:
        raise RuntimeError("this compressor needs the layout of a model: call fitted(layout) first")

    return Compressor(init=refuse, encode=refuse, decode=refuse, parts=parts, fit=fit)  # type: ignore[arg-type]


def _row(state: CohortState, at: int) -> Row:
    return {name: value[at].cpu().numpy() for name, value in state.items()} if state else {}


def _coded(
    told: bytes, coded: bytes | memoryview, lossless: Lossless | None
) -> tuple[bytes | memoryview, ...]:
    """The content of a payload, after its header."""
    if lossless is None:
        return told, coded
    squeezed = lossless.squeeze(told)
    return _LENGTH.pack(len(squeezed)), squeezed, lossless.squeeze(bytes(coded))


def _parted(
    content: memoryview, num_parameters: int, lossless: Lossless | None
) -> tuple[memoryview, memoryview]:
    """(the positions' bytes, the values' bytes), expanded; without lossless coding everything is in the first."""
    if lossless is None:
        return content, content[:0]
    most = 16 * num_parameters + 4096  # no part of the project writes more
    head, rest = taken(content, _LENGTH.size)
    told, coded = taken(rest, _LENGTH.unpack(head)[0])
    return memoryview(lossless.expand(told, most)), memoryview(lossless.expand(coded, most))
