"""The form of inputs that a model receives."""

from __future__ import annotations

import torch
from torch import Tensor


def model_inputs(batch: Tensor) -> Tensor:
    """Images of bytes become floats in [0, 1]; everything else is ready as it is."""
    return batch.float().div_(255) if batch.dtype == torch.uint8 else batch


def input_scale(inputs: Tensor) -> float:
    """The factor that turns inputs, or their products with weights, into `model_inputs`."""
    return 1 / 255 if inputs.dtype == torch.uint8 else 1.0
