"""Layers of which every client has its own, for the rows of all clients one after another."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from federated.foundation.texts import listed
from federated.models.plain_modules import is_plain


class Own(NamedTuple):
    """A layer's trained parameters by name, [c, ...] for the clients of a call."""

    values: dict[str, Tensor]


class _Folded(nn.Module):
    """A layer of which every client has its own; inputs and outputs are the clients' rows one after another."""

    def __init__(self, layer: nn.Module, names: dict[str, str], own: Own) -> None:
        super().__init__()
        self.layer, self._names, self._own = layer, names, own

    def __getattr__(self, name: str) -> Any:
        """Whatever else is asked of the layer, such as its weight's type."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)

    def _values(self) -> dict[str, Tensor]:
        return {name: self._own.values[whole] for name, whole in self._names.items()}


class _FoldedDense(_Folded):
    def forward(self, inputs: Tensor) -> Tensor:
        layer, own = self.layer, self._values()
        assert isinstance(layer, nn.Linear)
        clients = len(next(iter(own.values())))
        rows = inputs.reshape(clients, -1, inputs.shape[-1])
        weight, bias = own.get("weight"), own.get("bias")
        if weight is None:
            outputs = functional.linear(inputs, layer.weight).reshape(clients, -1, layer.out_features)
        else:
            outputs = torch.bmm(rows, weight.transpose(1, 2))
        if bias is not None:
            outputs = outputs + bias[:, None]
        elif layer.bias is not None:
            outputs = outputs + layer.bias
        return outputs.reshape(*inputs.shape[:-1], layer.out_features)


class _FoldedNorm(_Folded):
    def forward(self, inputs: Tensor) -> Tensor:
        layer, own = self.layer, self._values()
        assert isinstance(layer, nn.LayerNorm)
        clients, last = len(next(iter(own.values()))), layer.normalized_shape
        outputs = functional.layer_norm(inputs, last, eps=layer.eps).reshape(clients, -1, *last)
        for name, scales in (("weight", True), ("bias", False)):
            value = own.get(name)
            shared = getattr(layer, name)
            value = shared if value is None else value[:, None]
            if value is not None:
                outputs = outputs * value if scales else outputs + value
        return outputs.reshape(inputs.shape)


_KINDS: dict[type[nn.Module], type[_Folded]] = {nn.Linear: _FoldedDense, nn.LayerNorm: _FoldedNorm}


def replace_trained(module: nn.Module, names: Collection[str], own: Own) -> None:
    """Replace every layer with trained parameters, in place. names: of all of these."""
    layers = {id(part): (name, part) for name, part in module.named_modules()}
    made: dict[int, nn.Module] = {}
    for at, (name, part) in layers.items():
        trained = {
            key: f"{name}.{key}".lstrip(".")
            for key, value in part.named_parameters(recurse=False)
            if value.requires_grad
        }
        if not trained:
            continue
        kind = _KINDS.get(type(part))
        if kind is None or not is_plain(part, type(part)) or not name:
            raise ValueError(
                f"the model's trained layer {name or 'itself'} is {type(part).__name__}, and clients are folded in "
                f"{listed([each.__name__ for each in _KINDS], len(_KINDS))} alone"
            )
        if any(whole not in names for whole in trained.values()):
            raise ValueError(f"the model's trained layer {name} shares a parameter with another")
        made[at] = kind(part, trained, own)
    for owner in list(module.modules()):
        if not isinstance(owner, _Folded):
            for key, child in owner._modules.items():
                owner._modules[key] = made.get(id(child), child)
