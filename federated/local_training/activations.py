"""The activations that the hand-written kernels know."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Activation = Literal["relu", "tanh"]

ACTIVATIONS: dict[type[nn.Module], Activation] = {nn.ReLU: "relu", nn.Tanh: "tanh"}


def activate(outputs: Tensor, activation: Activation | None) -> Tensor:
    """In place."""
    if activation is None:
        return outputs
    return outputs.relu_() if activation == "relu" else outputs.tanh_()


def through(errors: Tensor, activated: Tensor, activation: Activation | None) -> Tensor:
    """The gradient before an activation, from the one after it; in place."""
    if activation == "relu":
        torch.ops.aten.threshold_backward.grad_input(errors, activated, 0, grad_input=errors)
    if activation == "tanh":
        torch.ops.aten.tanh_backward.grad_input(errors, activated, grad_input=errors)
    return errors
