"""The contract of a person's own optimiser: its direction is of the gradient's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from federated.extension_points.returned import check_tensor, found_text
from federated.foundation.errors import OwnCodeFailed
from federated.optimisers import Optimiser
from federated.user_code.containment import contained


def held_optimiser(name: str, optimiser: Optimiser) -> Optimiser:
    """An optimiser whose direction returns what `Optimiser` says, at every step. Raises OwnCodeFailed otherwise."""
    what, remembers = f"optimiser: {name}", optimiser.remembers
    if not isinstance(remembers, tuple | list) or not all(isinstance(each, str) for each in remembers):
        raise OwnCodeFailed(
            f'{what}: remembers must be a tuple of names, such as ("mean",), got {found_text(remembers)}'
        )
    made = optimiser.direction
    if made is None:
        if remembers:
            raise OwnCodeFailed(f"{what}: remembers {', '.join(remembers)}, and has no direction to use it")
        return optimiser
    if not callable(made):
        raise OwnCodeFailed(f"{what}: direction must be a function, got {found_text(made)}")

    def direction(memory: Mapping[str, Tensor], gradient: Tensor, step: int) -> Tensor:
        with contained(f"{what}: direction fails"):
            found: Any = made(memory, gradient, step)
        check_tensor(found, gradient, f"{what}: direction must return")
        checked: Tensor = found
        return checked

    return optimiser._replace(remembers=tuple(remembers), direction=direction)
