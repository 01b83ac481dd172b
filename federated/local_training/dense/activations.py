"""The activations that the hand-written kernels know."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Activation = Literal["relu", "tanh"]

ACTIVATIONS: dict[type[nn.Module], Activation] = {nn.ReLU: "relu", nn.Tanh: "tanh"}


def activate(outputs: Tensor, activation: Activation | None, out: Tensor | None = None) -> Tensor:
    """The activation of the outputs, written into `out`; in place where there is none."""
    out = outputs if out is None else out
    if activation == "relu":
        return torch.clamp_min(outputs, 0, out=out)
    if activation == "tanh":
        return torch.tanh(outputs, out=out)
    return outputs if out is outputs else out.copy_(outputs)


def through(errors: Tensor, activated: Tensor, activation: Activation | None) -> Tensor:
    """The gradient before an activation, from the one after it; in place."""
    if activation == "relu":
        torch.ops.aten.threshold_backward.grad_input(errors, activated, 0, grad_input=errors)
    if activation == "tanh":
        torch.ops.aten.tanh_backward.grad_input(errors, activated, grad_input=errors)
    return errors
