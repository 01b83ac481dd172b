"""Layers that take an adapter: those that do with their weight what the factors of peft do beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def check_suitable(module: nn.Module, name: str, rank: int) -> None:
    """Raise ValueError where a layer cannot have an adapter of this rank."""
    layer = module.get_submodule(name)
    if isinstance(layer, nn.MultiheadAttention) or is_read_past(module, name):
        raise ValueError(
            f"targets: {name}: torch's nn.MultiheadAttention reads its weights past its layers, so an adapter would "
            "have no effect; name other layers, or train it in full with pattern"
        )
    if not is_dense(layer) and not isinstance(layer, _CONVOLUTIONS):
        raise ValueError(
            f"targets: {name} is {type(layer).__name__}; adapters are for dense layers and convolutions, and pattern "
            "trains others in full"
        )
    if getattr(layer, "groups", 1) > 1:
        raise ValueError(f"targets: {name} is a convolution in {layer.groups} groups, which takes no adapter")
    if sum(each is layer for _, each in module.named_modules(remove_duplicate=False)) > 1:
        raise ValueError(f"targets: {name} stands in the model under several names, which takes no adapter")
    if why := next(_differences(layer), None):
        raise ValueError(
            f"targets: {name} {why}, so an adapter beside it would not be what is added to its weight in the end; "
            "name other targets, or train it in full with pattern"
        )
    weight: Any = layer.weight
    smaller = min(len(weight), weight[0].numel())
    if rank > smaller:
        raise ValueError(
            f"rank {rank} is above {smaller}, the smaller side of {name} {list(weight.shape)}; name other targets, or "
            f"state a rank of at most {smaller}"
        )


def is_dense(layer: nn.Module) -> bool:
    """Whether it is a dense layer; GPT-2 has a class of its own for them, with the weight the other way round."""
    return isinstance(layer, nn.Linear) or (
        type(layer).__name__ == "Conv1D" and type(layer).__module__.startswith("transformers.")
    )


def is_read_past(module: nn.Module, name: str) -> bool:
    """Whether a layer's weights are read without calling it, as torch's attention does with its last layer."""
    parent = module.get_submodule(name.rpartition(".")[0])
    return isinstance(parent, nn.MultiheadAttention)


def _differences(layer: Any) -> Iterator[str]:
    """In what a layer is another than its class in torch, of which peft makes the factors.

    peft's first factor of a convolution has its kernel, stride and padding, and neither dilation nor padding_mode.
    """
    for own in ("weight", "bias"):
        if own not in layer._parameters:
            yield f"computes its {own} from other parameters, as weight_norm and spectral_norm do"
    plain = next((each for each in (nn.Linear, *_CONVOLUTIONS) if isinstance(layer, each)), type(layer))
    for method in ("__call__", "forward", "_conv_forward"):
        if method in vars(layer) or getattr(type(layer), method, None) is not getattr(plain, method, None):
            yield f"is {type(layer).__name__} with a {method} of its own"
    if layer._forward_hooks or layer._forward_pre_hooks:
        yield "has a hook of its own on its inputs or outputs"
    if (mode := getattr(layer, "padding_mode", "zeros")) != "zeros":
        yield f"is a convolution with padding_mode {mode}, and peft pads with zeros"
    if any(step != 1 for step in getattr(layer, "dilation", ())):
        yield f"is a convolution with dilation {layer.dilation}, of which peft knows nothing"
