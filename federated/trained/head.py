"""The head: the last layer, which decides by the representation that all before it make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from federated.models.representation import representation_of
from federated.trained.part import TrainedPart, every_name, is_within, train_only


def head() -> TrainedPart:
    """The last layer alone, on features that stay as they are: linear probing.

    The head is the module `head` of a model, or those that its attribute `head` names; else what comes after the
    module that its attribute `representation` names; else the last layer, if that is a dense one.

    Alain and Bengio 2016, "Understanding intermediate layers using linear classifier probes"; Kumar et al. 2022,
    "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", compare it with training
    everything. What is frozen runs as in evaluation: without dropout, and batch normalisation with the statistics that
    it has.
    """
    return lambda module: train_only(module, head_of(module))


def head_of(module: nn.Module) -> list[str]:
    """The names of the parameters of the model's head. Raises ValueError where none can be told from the rest."""
    stated = stated_head(module)
    names = _within(module, stated) if stated else _after_representation(module)
    if len(names) == sum(1 for _ in module.parameters()):
        raise ValueError("the head of this model is the whole of it: write full")
    for name, others in every_name(module):
        if name in names and len(others) > 1:
            raise ValueError(
                f"the head's {others[-1]} is also {others[0]}, one parameter of two layers, and cannot be trained alone"
            )
    return names


def stated_head(module: nn.Module) -> list[str]:
    """The names of the modules that the model itself calls its head; none where it does not say."""
    stated: Any = getattr(module, "head", None)
    if isinstance(stated, nn.Module):
        return ["head"] if any(True for _ in stated.parameters()) else []
    if stated is None:
        return []
    names, known = [stated] if isinstance(stated, str) else stated, dict(module.named_modules())
    if not isinstance(names, list | tuple) or not names or not all(each and each in known for each in names):
        raise ValueError(f"head of the model must name one of its modules, or a list of them, got {stated!r}")
    return list(names)


def _within(module: nn.Module, layers: Sequence[str]) -> list[str]:
    """The parameters of these layers, each by its first name. Raises ValueError where there are none."""
    if names := [
        first
        for first, every in every_name(module)
        if any(is_within(each, layer) for each in every for layer in layers)
    ]:
        return names
    raise ValueError(f"the model's head, {', '.join(layers)}, has no parameters")


def _after_representation(module: nn.Module) -> list[str]:
    """What the representation goes through, in the order in which a model's layers are made."""
    place = representation_of(module)
    if place.side == "input":
        return _within(module, [place.module])
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
