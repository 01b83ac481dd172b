"""Model inputs and losses."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from federated.examples.examples import Task

Loss = Callable[[Tensor, Tensor], Tensor]
"""(outputs [B, outputs], targets [B] or [B, outputs]) -> mean loss, a scalar."""


def model_inputs(batch: Tensor) -> Tensor:
    """Images of bytes become floats in [0, 1]; everything else is ready as it is."""
    return batch.float().div_(255) if batch.dtype == torch.uint8 else batch


def input_scale(inputs: Tensor) -> float:
    """The factor that turns inputs, or their products with weights, into `model_inputs`."""
    return 1 / 255 if inputs.dtype == torch.uint8 else 1.0


def loss_of(task: Task) -> Loss:
    """Cross-entropy in nats for classification, mean squared error for regression."""
    return F.cross_entropy if task == "classification" else _squared_error


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs, targets.reshape(outputs.shape))
