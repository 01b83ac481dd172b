"""The representation of an example: the numbers that a model's last layer decides by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn

_STATE = "give the model an attribute `representation`, the name of the module whose output it is"


class Place(NamedTuple):
    """Where in a model its representation is: what the module of this name is given, or what it returns."""

    module: str
    side: Literal["input", "output"]


def representation_of(model: nn.Module) -> Place:
    """The output of the module that `model.representation` is or names, else the input of the last layer, a dense one.

    Raises ValueError where it names no module, or where the last layer is another or the only one.
    """
    stated: Any = getattr(model, "representation", None)
    if isinstance(stated, nn.Module):
        return Place("representation", "output")
    if stated is not None:
        if not isinstance(stated, str) or stated not in dict(model.named_modules()):
            raise ValueError(f"representation of the model must name one of its modules, got {stated!r}")
        return Place(stated, "output")
    layers = [
        (name, module)
        for name, module in model.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    if len(layers) < 2:
        raise ValueError(f"no representation can be found in a model of one layer; {_STATE}")
    name, last = layers[-1]
    if ".lora_" in name:  # of an adapter, in the place of the layer
        name = name.partition(".lora_")[0]
        last = getattr(model.get_submodule(name), "base_layer", last)
    if not isinstance(last, nn.Linear):
        raise ValueError(
            f"no representation can be found: the last layer, {name}, is {type(last).__name__} and not Linear; {_STATE}"
        )
    return Place(name, "input")


def watched(model: nn.Module, place: Place) -> Callable[[], Tensor]:
    """Keep the representations of each batch from now on. Returns a function of those of the last one, [B, n]."""
    kept: list[Tensor] = []

    def keep(value: Any) -> None:
        kept[:] = [value]

    module = model.get_submodule(place.module)
    if place.side == "input":
        module.register_forward_pre_hook(lambda _, given: keep(given[0]))
    else:
        module.register_forward_hook(lambda _, given, returned: keep(returned))
    return lambda: kept[0].flatten(1)
