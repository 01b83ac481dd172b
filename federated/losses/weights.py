"""Weights of examples: what the loss of each is multiplied by."""

from __future__ import annotations

import numpy as np


def fault_of_weights(weights: np.ndarray) -> str:
    """What is wrong with weights that should be floats [N] >= 0, in a sentence; empty where nothing is."""
    if weights.ndim != 1 or weights.dtype.kind != "f":
        return f"weights must be floats [N], one for each example, got {weights.dtype} {list(weights.shape)}"
    if len(bad := np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))):
        must = "must not be negative" if weights[bad[0]] < 0 else "must be finite"
        return f"weights {must}, got {weights[bad[0]]:g} at example {bad[0]}"
    return "" if weights.any() else "weights are all zero: nothing would be learnt"
