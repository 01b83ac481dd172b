"""Trials of purity: the same arguments give the same result, and stay as they were."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from federated.algorithms import Tensors
from federated.foundation.errors import OwnCodeFailed
from federated.foundation.randomness import Purpose, generator

CLIENTS = 2
SIZE = 1e-2  # of the updates' coordinates
_SAME = 1e-5  # how far two calls with the same arguments may be apart, as a share: a sum in threads has no fixed order

IMPURE = (
    "returns something else when it is called again with the same arguments: it must depend on them alone, as a round "
    "that failed is tried again; keep what changes in the state, and draw from the generators that are given"
)


def check_pure(what: str, first: Mapping[str, Tensor], again: Mapping[str, Tensor]) -> None:
    """Raise where two calls with the same arguments returned other tensors, NaN being equal to itself."""
    same = first.keys() == again.keys() and all(
        value.shape == again[key].shape
        and torch.allclose(value, again[key], rtol=_SAME, atol=0, equal_nan=True)
        for key, value in first.items()
    )
    if not same:
        raise OwnCodeFailed(f"{what} {IMPURE}")


Given = Mapping[str, Tensors]
"""What -> its tensors by name."""


def copied(given: Given) -> dict[str, Tensors]:
    """Copies of the tensors."""
    return {what: {name: value.clone() for name, value in each.items()} for what, each in given.items()}


def each_of(now: Given, before: Given) -> dict[str, tuple[Tensor, Tensor]]:
    """Each tensor by a text that names it, beside what it was before."""
    return {
        f"{what} {name}": (value, before[what][name])
        for what, each in now.items()
        for name, value in each.items()
    }


def type_of(tensor: Tensor) -> str:
    """`float32 [2, 3]`."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def small_updates(parameters: Tensor) -> Tensor:
    """[2, P], normal."""
    numbers = generator(0, Purpose.FORECAST).standard_normal((CLIENTS, parameters.numel()), np.float32)
    return torch.from_numpy(numbers * np.float32(SIZE)).to(parameters)


def check_unchanged(what: str, arguments: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Raise where an argument, the first of each pair, is no longer what it was."""
    for which, (now, before) in arguments.items():
        if not torch.equal(now, before):
            raise OwnCodeFailed(
                f"{what} changes {which} in place; return new tensors, as a failed round is tried again"
            )


def fingerprint(parameter: Tensor) -> tuple[int, int, str, str]:
    """Changes with every write, through `.data` too, which torch does not count; a copy of a trunk may be too large."""
    values = (
        parameter.detach().flatten().double()
        if parameter.is_floating_point()
        else parameter.detach().flatten()
    )
    return parameter._version, parameter.data_ptr(), str(float(values.sum())), str(float(values.abs().sum()))
