"""Adapters added to the weights that they lie beside, so that a model is its own architecture again."""

from __future__ import annotations

from typing import Any

from torch import nn

from federated.models.adapted.residual import without_residuals


def merged(module: nn.Module) -> tuple[nn.Module, frozenset[str]]:
    """(the module without adapters and with the same outputs, the names of the weights that hold them now).

    Changes the module itself; a weight that another layer has too is no longer one with it.
    """
    adapters: dict[str, Any] = {
        name: layer
        for name, layer in module.named_modules()
        if all(hasattr(layer, own) for own in ("base_layer", "lora_A", "get_delta_weight"))
    }
    for name, adapter in adapters.items():
        layer: Any = without_residuals(adapter).base_layer
        delta = adapter.get_delta_weight("default").detach()
        layer.weight = nn.Parameter(layer.weight.detach() + delta, requires_grad=False)
        parent, _, own = name.rpartition(".")
        setattr(module.get_submodule(parent), own, layer)
    return module, frozenset(f"{name}.weight" for name in adapters)
