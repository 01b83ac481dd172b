"""Predictions from a model's outputs, in the unit of the targets as they were loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def predictions_of(readout: Mapping[str, Any], outputs: Tensor) -> Tensor:
    """The predictions [N, outputs], in 64 bits where they are rescaled; of classes their scores, as they are.

    readout: the fields of `federated.losses.Readout`, which are stored beside a model's weights.
    """
    found = outputs.exp() if readout["link"] == "exp" else outputs
    if readout["scale"] is None:
        return found
    scale, shift = (found.new_tensor(readout[name], dtype=torch.float64) for name in ("scale", "shift"))
    return found.double() * scale + shift
