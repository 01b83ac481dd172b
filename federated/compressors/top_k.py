"""Top-k sparsification: only the largest coordinates travel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import torch
from torch import Tensor

from federated.compressors.compressor import (
    CohortState,
    Compressor,
    PayloadError,
    content_of,
    expect_bytes,
    no_state,
    with_header,
)

_TAG = b"topk"


def top_k(fraction: float) -> Compressor:
    """Send the `fraction` of coordinates that is largest in magnitude, at least one; the rest become zero.

    Aji & Heafield 2017, "Sparse communication for distributed gradient descent"; the contraction
    ||x - top_k(x)||^2 <= (1 - k/P) ||x||^2 is Stich et al. 2018, eq. 7. Biased: combine it with
    `error_feedback`. k = ceil(fraction P) positions of 2 bytes (4 where P > 65,536) in rising order, then k
    32-bit floats, then nothing; k itself is not sent.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be in (0, 1], got {fraction}")

    def kept(num_parameters: int) -> int:
        # In decimal, as it was written: in binary 0.07 * 100 is above 7.
        return math.ceil(Decimal(str(fraction)) * num_parameters)

    def encode(
        state: CohortState, deltas: Tensor, generators: Sequence[np.random.Generator]
    ) -> tuple[list[bytes], CohortState]:
        num_parameters = deltas.shape[1]
        top = deltas.abs().topk(kept(num_parameters), dim=1, sorted=False)
        positions = top.indices.sort(dim=1).values
        values = deltas.gather(1, positions).cpu().numpy().astype("<f4", copy=False)
        narrow = positions.cpu().numpy().astype(_position_type(num_parameters))
        contents = (at.tobytes() + value.tobytes() for at, value in zip(narrow, values, strict=True))
        return [with_header(_TAG, num_parameters, content) for content in contents], state

    def decode(payloads: Sequence[bytes], num_parameters: int) -> Tensor:
        contents = [content_of(payload, _TAG, num_parameters) for payload in payloads]
        dense = np.zeros((len(payloads), num_parameters), np.float32)
        for row, content in zip(dense, contents, strict=True):
            positions, values = _read(content, num_parameters, kept(num_parameters))
            row[positions] = values
        return torch.from_numpy(dense)

    return Compressor(init=no_state, encode=encode, decode=decode)


def _position_type(num_parameters: int) -> np.dtype[np.unsignedinteger]:
    return np.dtype("<u2" if num_parameters <= 2**16 else "<u4")


def _read(content: memoryview, num_parameters: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    position_type = _position_type(num_parameters)
    expect_bytes(content, k * (position_type.itemsize + 4))
    positions = np.frombuffer(content, position_type, count=k).astype(np.int64)
    values = np.frombuffer(content, "<f4", offset=k * position_type.itemsize)
    if positions[-1] >= num_parameters or (np.diff(positions) <= 0).any():
        raise PayloadError(f"payload positions do not rise strictly below {num_parameters}")
    return positions, values
