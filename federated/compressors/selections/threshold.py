"""Threshold sparsification: what is large enough travels."""

from __future__ import annotations

import struct

import numpy as np

from federated.compressors.coding.payload import PayloadError, taken
from federated.compressors.coding.positions import decode_positions, encode_positions
from federated.compressors.compressor import Compressor
from federated.compressors.parts import Parts, Reduced, Reduction, Restorer, Row
from federated.compressors.pipeline import pipeline
from federated.compressors.selections.selection import scattered
from federated.foundation.scales import check_scale

_COUNT = struct.Struct("<I")


def threshold(value: float) -> Compressor:
    """Send the coordinates whose magnitude is at least `value`; the rest become zero.

    Strom 2015, "Scalable distributed DNN training using commodity GPU cloud computing", with the coordinates
    themselves instead of plus or minus the threshold. No coordinate errs by `value` or more. Biased: combine it with
    `error_feedback`. How many travel differs from client to client and is sent, as 32 bits.
    """
    check_scale("value", value)

    def reduce(state: Row, row: np.ndarray, generator: np.random.Generator) -> Reduced:
        positions = np.flatnonzero(np.abs(row) >= value)
        told = _COUNT.pack(positions.size) + encode_positions(positions, row.size)
        return Reduced(row[positions], told, state)

    def read(content: memoryview, num_parameters: int) -> tuple[Restorer, memoryview]:
        head, rest = taken(content, _COUNT.size)
        (count,) = _COUNT.unpack(head)
        if count > num_parameters:
            raise PayloadError(f"payload claims {count} of {num_parameters} coordinates")
        positions, rest = decode_positions(rest, count, num_parameters)
        return scattered(positions, num_parameters), rest

    return pipeline(Parts(Reduction(b"h", reduce, read)))
