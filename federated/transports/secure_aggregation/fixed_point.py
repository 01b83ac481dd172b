"""Numbers as integers that add up: what a sum modulo a power of two is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from federated.compressors.compressor import HEADER_BYTES, CohortState, Compressor, content_of, with_header
from federated.compressors.traits import Trait

_TAG = b"fix4"


def fixed_point(clip: float, bits: int) -> Compressor:
    """Each number, held within +-clip, as a multiple of clip / (2^(bits - 1) - 1), rounded up or down at random.

    Within the clip the mean of what is decoded is the number, and the error is below one step. Integers are signed and
    32 bits long, so that zero stays zero and the sum of payloads decodes to the sum.
    """
    levels = levels_of(bits)
    step = clip / levels

    def encode(
        state: CohortState, deltas: Tensor, generators: Sequence[np.random.Generator]
    ) -> tuple[list[bytes], CohortState]:
        rows = deltas.cpu().numpy()
        coded = [rounded(row, step, levels, numbers) for row, numbers in zip(rows, generators, strict=True)]
        return [with_header(_TAG, deltas.shape[1], row.astype("<i4").tobytes()) for row in coded], {}

    def decode(payloads: Sequence[bytes], num_parameters: int) -> Tensor:
        rows = [np.frombuffer(content_of(payload, _TAG, num_parameters), "<i4") for payload in payloads]
        return torch.from_numpy((np.stack(rows) * step).astype(np.float32))

    return Compressor(lambda clients, size: {}, encode, decode, frozenset({Trait.ADDITIVE}))


def rounded(row: np.ndarray, step: float, levels: int, numbers: np.random.Generator) -> np.ndarray:
    """Multiples of the step, at most so many, float64 [n]: floor(x / step + u), u uniform below one."""
    whole = np.floor(row.astype(np.float64) / step + numbers.random(row.shape))
    return np.clip(whole, -levels, levels)


def levels_of(bits: int) -> int:
    """The largest absolute value of an integer of so many bits, its sign among them."""
    return (1 << (bits - 1)) - 1


def integers_of(payload: bytes) -> np.ndarray:
    """The integers of a payload modulo 2^32, uint32 [P]."""
    return np.frombuffer(payload, "<u4", offset=HEADER_BYTES)


def payload_of(header: bytes, integers: np.ndarray) -> bytes:
    """A payload with the header of another and these integers, int64 [P]."""
    return header[:HEADER_BYTES] + integers.astype("<i4").tobytes()
