"""The form of inputs that a model receives."""

from __future__ import annotations

import torch
from torch import Tensor

from federated.preprocessing.raw_rows import model_inputs

__all__ = ["input_scale", "model_inputs"]


def input_scale(inputs: Tensor) -> float:
    """The factor that turns inputs, or their products with weights, into `model_inputs`."""
    return 1 / 255 if inputs.dtype == torch.uint8 else 1.0
