"""The losses that the hand-written kernels know, with the gradient of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from federated.objective import Loss, loss_of


class Criterion(NamedTuple):
    """A loss whose gradient is scale * (prediction - aim) / examples.

    predict: outputs [c, n, K] -> [c, n, K]; aims: (targets, K) -> [c, n, K];
    losses: (outputs, targets) -> [c, n], one an example; scale: K -> float.
    """

    predict: Callable[[Tensor], Tensor]
    aims: Callable[[Tensor, int], Tensor]
    losses: Callable[[Tensor, Tensor], Tensor]
    scale: Callable[[int], float]


def criterion_of(loss: Loss) -> Criterion:
    """The criterion of a known loss."""
    return CROSS_ENTROPY if loss is loss_of("classification") else SQUARED_ERROR


CROSS_ENTROPY = Criterion(
    predict=lambda outputs: torch.softmax(outputs, dim=-1),
    aims=lambda targets, num_outputs: F.one_hot(targets, num_outputs),
    losses=lambda outputs, targets: F.cross_entropy(
        outputs.flatten(0, -2), targets.flatten(), reduction="none"
    ).view(targets.shape),
    scale=lambda num_outputs: 1.0,
)

SQUARED_ERROR = Criterion(
    predict=lambda outputs: outputs.clone(),
    aims=lambda targets, num_outputs: targets.view(*targets.shape[:2], num_outputs),
    losses=lambda outputs, targets: (outputs - targets.view(outputs.shape)).square().mean(dim=-1),
    scale=lambda num_outputs: 2.0 / num_outputs,
)
