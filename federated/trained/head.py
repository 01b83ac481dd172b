"""The head: the last layer, which decides by the representation that all before it make."""

from __future__ import annotations

from typing import Any

from torch import nn

from federated.models.representation import representation_of
from federated.trained.part import TrainedPart, every_name, is_within, train_only


def head() -> TrainedPart:
    """The last layer alone, on features that stay as they are: linear probing.

    The head is the module `head` of a model, or the one that its attribute `head` names; else what comes after the
    module that its attribute `representation` names; else the last layer, if that is a dense one.

    Alain and Bengio 2016, "Understanding intermediate layers using linear classifier probes"; Kumar et al. 2022,
    "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", compare it with training
    everything. What is frozen runs as in evaluation: without dropout, and batch normalisation with the statistics that
    it has.
    """
    return lambda module: train_only(module, head_of(module))


def head_of(module: nn.Module) -> list[str]:
    """The names of the parameters of the model's head. Raises ValueError where none can be told from the rest."""
    layer = stated_head(module)
    names = _after_representation(module) if layer is None else _within(module, layer)
    if len(names) == sum(1 for _ in module.parameters()):
        raise ValueError("the head of this model is the whole of it: write full")
    for name, others in every_name(module):
        if name in names and len(others) > 1:
            raise ValueError(
                f"the head's {others[-1]} is also {others[0]}, one parameter of two layers, and cannot be trained alone"
            )
    return names


def stated_head(module: nn.Module) -> str | None:
    """The name of the module that the model itself calls its head; None where it does not say."""
    stated: Any = getattr(module, "head", None)
    if isinstance(stated, nn.Module):
        return "head" if any(True for _ in stated.parameters()) else None
    if stated is None:
        return None
    if not isinstance(stated, str) or not stated or stated not in dict(module.named_modules()):
        raise ValueError(f"head of the model must name one of its modules, got {stated!r}")
    return stated


def _within(module: nn.Module, layer: str) -> list[str]:
    if names := [
        first for first, every in every_name(module) if any(is_within(each, layer) for each in every)
    ]:
        return names
    raise ValueError(f"the model's head, {layer}, has no parameters")


def _after_representation(module: nn.Module) -> list[str]:
    """What the representation goes through, in the order in which a model's layers are made."""
    place = representation_of(module)
    if place.side == "input":
        return _within(module, place.module)
    layers = [name for name, _ in module.named_modules()]
    last = max(at for at, name in enumerate(layers) if is_within(name, place.module))
    after = set(layers[last + 1 :])
    names = [
        first
        for first, every in every_name(module)
        if any(each.rpartition(".")[0] in after for each in every)
    ]
    if not names:
        raise ValueError(
            f"no layer comes after {place.module}, the representation that the model states; give it an attribute "
            "`head`, the name of its last layer"
        )
    return names
