"""A frozen dense layer with a matrix beside its weight, which the server alone changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from federated.models.adapted.adapters import adapters_in, scale_of

_NAME = "residual"


class WithResidual(nn.Module):
    """A dense layer whose weight is what it was, plus scale times `residual`, a buffer [d, k] that begins at zero.

    The layer itself is shared by all copies of a model and never moves; `residual` is a part of a model's flat vector.
    """

    residual: Tensor

    def __init__(self, layer: nn.Linear, scale: float) -> None:
        super().__init__()
        self.base_layer, self.scale = layer, scale
        self.register_buffer(_NAME, torch.zeros_like(layer.weight, requires_grad=False))

    def forward(self, inputs: Tensor) -> Tensor:
        """The layer's outputs for inputs [..., k], and what the residual adds to them."""
        outputs: Tensor = self.base_layer(inputs) + self.scale * functional.linear(inputs, self.residual)
        return outputs

    def merged(self) -> nn.Linear:
        """A plain layer of the same outputs, which shares nothing with this one."""
        before = self.base_layer.weight.detach()
        layer = nn.Linear(before.shape[1], before.shape[0], bias=self.base_layer.bias is not None)
        layer = layer.to(before)
        layer.weight.data = before + self.scale * self.residual
        if self.base_layer.bias is not None:
            layer.bias.data = self.base_layer.bias.detach().clone()
        return layer.requires_grad_(False)


def put_beside(module: nn.Module) -> nn.Module:
    """Put a residual beside each frozen dense layer that has a low-rank adapter. Changes the module itself."""
    for adapter in adapters_in(module).values():
        layer: Any = adapter.base_layer
        if isinstance(layer, nn.Linear):
            adapter.base_layer = WithResidual(layer, scale_of(adapter))
    return module


def residuals_of(module: nn.Module) -> dict[str, Tensor]:
    """The residuals of a module by name, in order."""
    return {f"{name}.{_NAME}".lstrip("."): layer.residual for name, layer in _layers(module)}


def without_residuals(module: nn.Module) -> nn.Module:
    """The module with every residual added to the weight that it lies beside. Changes the module itself."""
    for name, layer in list(_layers(module)):
        parent, _, own = name.rpartition(".")
        setattr(module.get_submodule(parent), own, layer.merged())
    return module


def _layers(module: nn.Module) -> Iterator[tuple[str, WithResidual]]:
    return ((name, layer) for name, layer in module.named_modules() if isinstance(layer, WithResidual))
