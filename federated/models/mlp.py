"""A multi-layer perceptron."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import nn

from federated.models.model import Model

_MOST_LAYERS = 1_000
"""Recording and differentiating more takes longer than anybody waits; nothing of ours learns through as many."""


def mlp(hidden: tuple[int, ...] = (200, 200)) -> Model:
    """Dense layers of the given widths with ReLU between them, on the flattened input.

    The default is the "2NN" of McMahan et al. 2017.
    """
    if not hidden or min(hidden) < 1:
        raise ValueError(f"hidden must be one or more widths >= 1, got {list(hidden)}")
    if len(hidden) > _MOST_LAYERS:
        raise ValueError(f"hidden must be at most {_MOST_LAYERS:,} widths, got {len(hidden):,}")

    def make(input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        layers: list[nn.Module] = [nn.Flatten()]
        for width, next_width in pairwise([math.prod(input_shape), *hidden]):
            layers += [nn.Linear(width, next_width), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(hidden[-1], num_outputs))

    return make
