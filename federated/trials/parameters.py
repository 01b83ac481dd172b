"""Checks of a model's parameters as it is made."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from federated.foundation.errors import OwnCodeFailed
from federated.local_training.memory import machine_bytes

_VECTORS = 4  # the model as it is made, its flat copy, the parameters that it received and a gradient


def check_parameters(name: str, module: nn.Module) -> None:
    """Raise OwnCodeFailed where parameters are none that a flat vector of 32-bit floats, and the machine, can hold."""
    _check_size(name, module)
    places: list[tuple[int, int, str]] = []
    for where, parameter in module.named_parameters():
        if parameter.is_meta:
            raise OwnCodeFailed(f"model: {name}: {where} is on the device meta, which holds no numbers")
        if parameter.dtype != torch.float32:
            found = str(parameter.dtype).removeprefix("torch.")
            raise OwnCodeFailed(f"model: {name}: {where} is {found}, and parameters must be float32")
        first = parameter.data_ptr()
        places.append((first, first + parameter.numel() * parameter.element_size(), where))
    for (_, end, one), (start, _, other) in pairwise(sorted(places)):
        if start < end:
            raise OwnCodeFailed(
                f"model: {name}: {one} and {other} share memory; to tie them, make them one parameter"
            )


def _check_size(name: str, module: nn.Module) -> None:
    numbers = sum(p.numel() * (_VECTORS if p.requires_grad else 1) for p in module.parameters())
    if 4 * numbers > (machine := machine_bytes()):
        raise OwnCodeFailed(
            f"model: {name} is too large: training holds at least {_VECTORS} numbers for each parameter, "
            f"{4 * numbers / 1e9:,.1f} GB, and this machine has {machine / 1e9:,.1f} GB"
        )
