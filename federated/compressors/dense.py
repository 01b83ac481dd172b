"""What the compressors share that send every coordinate as a float of some width."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from federated.compressors.compressor import (
    CohortState,
    Compressor,
    content_of,
    expect_bytes,
    no_state,
    with_header,
)


def dense(tag: bytes, wire_type: str, largest: float) -> Compressor:
    """Every coordinate as `wire_type` (a numpy dtype), magnitudes above `largest` clamped to it.

    It may carry a whole model: nothing but precision is lost.
    """
    wire = np.dtype(wire_type)

    def encode(
        state: CohortState, deltas: Tensor, generators: Sequence[np.random.Generator]
    ) -> tuple[list[bytes], CohortState]:
        rows = deltas.clamp(-largest, largest).cpu().numpy().astype(wire, copy=False)
        return [with_header(tag, row.size, row.tobytes()) for row in rows], state

    def decode(payloads: Sequence[bytes], num_parameters: int) -> Tensor:
        contents = [content_of(payload, tag, num_parameters) for payload in payloads]
        for content in contents:
            expect_bytes(content, wire.itemsize * num_parameters)
        return torch.from_numpy(np.stack([np.frombuffer(c, wire).astype(np.float32) for c in contents]))

    return Compressor(init=no_state, encode=encode, decode=decode, whole_model=True)
