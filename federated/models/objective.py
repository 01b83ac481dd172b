"""The form of inputs that a model receives."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from federated.preprocessing.raw_rows import model_inputs

__all__ = ["input_scale", "model_inputs", "padding_of"]

_TOKENS = (torch.int64, torch.int32, torch.int16)


def input_scale(inputs: Tensor) -> float:
    """The factor that turns inputs, or their products with weights, into `model_inputs`."""
    return 1 / 255 if inputs.dtype == torch.uint8 else 1.0


def padding_of(module: nn.Module, inputs: Tensor) -> int | None:
    """The number that fills up texts, where inputs are token numbers [n, length] and the module has an attribute
    `padding`; None otherwise: elsewhere it says something else, such as what a convolution adds to signals."""
    padding = getattr(module, "padding", None)
    is_number = isinstance(padding, int) and not isinstance(padding, bool)
    return padding if is_number and inputs.dim() == 2 and inputs.dtype in _TOKENS else None
