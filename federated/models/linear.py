"""One linear layer."""

from __future__ import annotations

import math

from torch import nn

from federated.models.model import Model


def linear(bias: bool = True) -> Model:
    """One dense layer on the flattened input, with torch's default initial values."""

    def make(input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), num_outputs, bias=bias))

    return make
