"""Half precision: two bytes a number."""

from __future__ import annotations

import numpy as np
import torch

from federated.compressors.coding.payload import expect_bytes
from federated.compressors.compressor import Compressor
from federated.compressors.parts import Parts, Values
from federated.compressors.pipeline import pipeline
from federated.compressors.traits import Trait

_LARGEST = float(np.finfo(np.float16).max)


def float16() -> Compressor:
    """Round every number to the nearest IEEE 754 half-precision number: 2 bytes each.

    Deterministic; relative error at most 2**-11 for magnitudes in the normal range [6.1e-5, 65504]. Larger
    magnitudes are clamped to 65504 instead of becoming infinite.
    """
    return pipeline(Parts(values=Values(b"f2", _encode, _decode, frozenset({Trait.WHOLE_MODEL}))))


def _encode(numbers: np.ndarray, generator: np.random.Generator) -> bytes:
    # torch uses the processor's own conversion; numpy's is ten times slower.
    half: np.ndarray = torch.tensor(numbers).clamp_(-_LARGEST, _LARGEST).half().numpy()
    return half.astype("<f2", copy=False).tobytes()


def _decode(content: memoryview, count: int) -> np.ndarray:
    expect_bytes(content, 2 * count)
    numbers: np.ndarray = torch.tensor(np.frombuffer(content, "<f2").astype(np.float16)).float().numpy()
    return numbers
