"""The interface of a trained part: a function that leaves one part of a module to be trained and freezes the rest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from torch import nn

TrainedPart = Callable[[nn.Module], nn.Module]
"""The module before training -> the same, in which `requires_grad` is of what is trained; or one with other layers.

It may change the module in place. Random numbers are torch's, whose generator is seeded with the run's seed. Raises
ValueError where the module has no such part.
"""


def train_only(module: nn.Module, names: Collection[str]) -> nn.Module:
    """Freeze all but the parameters of these names. What the model itself has frozen stays so.

    Raises ValueError where nothing is left to train.
    """
    named = dict(module.named_parameters())
    wanted = [name for name in names if named[name].requires_grad]
    if not wanted:
        raise ValueError(f"the model itself freezes {', '.join(sorted(names))}, so nothing is left to train")
    for name, parameter in named.items():
        parameter.requires_grad_(parameter.requires_grad and name in wanted)
    return module


def every_name(module: nn.Module) -> Iterator[tuple[str, list[str]]]:
    """The first name of each parameter, and all of its names: a tied parameter has several."""
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    yield from ((each[0], each) for each in names.values())


def is_within(name: str, layer: str) -> bool:
    """Whether a parameter or layer of this name is in this layer, or is it; "" is the whole model."""
    return not layer or f"{name}.".startswith(f"{layer}.")
