"""Multinomial logistic regression."""

from __future__ import annotations

import math

from torch import nn

from federated.models.model import Model


def logistic(bias: bool = True) -> Model:
    """One dense layer on the flattened input that starts at zero: a convex problem with one starting point."""

    def make(input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        layer = nn.Linear(math.prod(input_shape), num_outputs, bias=bias)
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
        return nn.Sequential(nn.Flatten(), layer)

    return make
