"""Half precision: two bytes a number."""

from __future__ import annotations

import numpy as np

from federated.compressors.compressor import Compressor
from federated.compressors.dense import dense
from federated.compressors.parts import Parts
from federated.compressors.pipeline import pipeline


def float16() -> Compressor:
    """Round every number to the nearest IEEE 754 half-precision number: 2 bytes each.

    Deterministic; relative error at most 2**-11 for magnitudes in the normal range [6.1e-5, 65504]. Larger
    magnitudes are clamped to 65504 instead of becoming infinite.
    """
    return pipeline(Parts(values=dense(b"f2", "<f2", largest=float(np.finfo(np.float16).max))))
