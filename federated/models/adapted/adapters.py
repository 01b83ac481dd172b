"""Layers with a low-rank adapter, peft's and others of its form, and the parameters that are their factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from torch import Tensor, nn


def adapters_in(module: nn.Module) -> dict[str, nn.Module]:
    """The layers of a module that have an adapter, by name."""
    return {
        name: layer for name, layer in module.named_modules() if name and _has_form(layer) and _pairs(layer)
    }


def factors_in(module: nn.Module) -> frozenset[str]:
    """The names of the factors A [r, k, ...] and B [d, r, ...] of a module's adapters, trained or not."""
    return frozenset(
        f"{name}.{side}.{own}"
        for name, layer in adapters_in(module).items()
        for own in _pairs(layer)
        for side in ("lora_A", "lora_B")
    )


def scale_of(adapter: Any) -> float:
    """By which the product of an adapter's factors counts."""
    scaling = adapter.scaling
    return float(next(iter(scaling.values())) if isinstance(scaling, Mapping) else scaling)


def _has_form(layer: Any) -> TypeGuard[nn.Module]:
    """Whether a layer has the form of peft's: names of parameters alone say nothing, as own ones may be x A B."""
    parts = (getattr(layer, name, None) for name in ("base_layer", "lora_A", "lora_B"))
    if not all(isinstance(part, nn.Module) for part in parts):
        return False
    scaling = getattr(layer, "scaling", None)
    return bool(scaling) if isinstance(scaling, Mapping) else isinstance(scaling, int | float)


def _pairs(layer: Any) -> list[str]:
    """What the factors are called within lora_A and lora_B, where their product is as large as the weight."""
    a: dict[str, Tensor]
    a, b = (dict(side.named_parameters()) for side in (layer.lora_A, layer.lora_B))
    base = getattr(layer.base_layer, "base_layer", layer.base_layer)  # of a layer with a residual
    weight = getattr(base, "weight", None)
    size = weight.numel() if isinstance(weight, Tensor) else None
    return [name for name in a if name in b and _size_of_product(a[name], b[name]) == size]


def _size_of_product(a: Tensor, b: Tensor) -> int:
    """How many numbers B A has for A [r, k, ...] and B [d, r], or [d, r, 1, ...]; 0 where these are no such factors."""
    if a.dim() < 2 or b.dim() < 2 or a.shape[0] != b.shape[1] or b[0, 0].numel() != 1:
        return 0
    return b.shape[0] * a[0].numel()
