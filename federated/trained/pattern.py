"""The parameters of some names."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import partial

from torch import nn

from federated.foundation.texts import listed
from federated.trained.part import TrainedPart, every_name, train_only

_SHOWN = 12


def pattern(names: list[str]) -> TrainedPart:
    """What has one of these names: layers with all that is in them, or single parameters.

    names: of layers or parameters as in `named_parameters()`, such as [head], or patterns of them, such as
        ["*.layer.11.*", "*.bias"]; * stands for anything, dots included.
    """
    if not names:
        raise ValueError("names must hold a name or a pattern, got []")
    return partial(_named_alike, wanted=tuple(names))


def _named_alike(module: nn.Module, wanted: tuple[str, ...]) -> nn.Module:
    found: set[str] = set()
    for each in wanted:
        found |= _alike(module, each)
    return train_only(module, found)


def _alike(module: nn.Module, wanted: str) -> set[str]:
    """The parameters of one pattern. Raises ValueError where there are none."""
    if found := {
        first
        for first, every in every_name(module)
        if any(fnmatchcase(part, wanted) for name in every for part in _parts(name))
    }:
        return found
    parameters = [name for name, _ in module.named_parameters()]
    raise ValueError(
        f"no parameter or layer is named like {wanted!r}; there are {listed(parameters, _SHOWN)}"
    )


def _parts(name: str) -> list[str]:
    """The name itself and those of the layers that it is in: a.b.weight, a.b, a."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
