"""The losses that the hand-written kernels know, with the gradient of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from federated.metrics.tasks import CLASSIFICATION, REGRESSION, Loss


class Criterion(NamedTuple):
    """A loss whose gradient is scale * (prediction - aim) / examples, for outputs [..., K, n], one example a column.

    predict: outputs -> [..., K, n]; aims: (targets [..., n] or [..., n, K], factors [..., n], K) -> the factors times
    the aims [..., K, n]; losses: (outputs, targets) -> [..., n], one an example; scale: K -> float.
    """

    predict: Callable[[Tensor], Tensor]
    aims: Callable[[Tensor, Tensor, int], Tensor]
    losses: Callable[[Tensor, Tensor], Tensor]
    scale: Callable[[int], float]


def _softmax(outputs: Tensor) -> Tensor:
    return torch.softmax(outputs, dim=-2)  # of rows of ten torch's takes 150 ns a row, of columns 30


def _at_classes(targets: Tensor, factors: Tensor, num_outputs: int) -> Tensor:
    aims = factors.new_zeros(*targets.shape[:-1], num_outputs, targets.shape[-1])
    return aims.scatter_(-2, targets.unsqueeze(-2), factors.unsqueeze(-2))


def _cross_entropies(outputs: Tensor, targets: Tensor) -> Tensor:
    return torch.log_softmax(outputs, dim=-2).gather(-2, targets.unsqueeze(-2)).squeeze(-2).neg_()


def _values(targets: Tensor, factors: Tensor, num_outputs: int) -> Tensor:
    return _in_rows(targets, factors.dim() + 1) * factors.unsqueeze(-2)


def _squared_errors(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - _in_rows(targets, outputs.dim())).square().mean(dim=-2)


def _in_rows(targets: Tensor, dimensions: int) -> Tensor:
    """[..., n, K], or [..., n] where K is 1 and so a dimension is missing -> [..., K, n]."""
    return (targets if targets.dim() == dimensions else targets.unsqueeze(-1)).transpose(-1, -2)


CROSS_ENTROPY = Criterion(_softmax, _at_classes, _cross_entropies, lambda num_outputs: 1.0)

SQUARED_ERROR = Criterion(
    lambda outputs: outputs, _values, _squared_errors, lambda num_outputs: 2.0 / num_outputs
)

CRITERIA: dict[Loss, Criterion] = {CLASSIFICATION.loss: CROSS_ENTROPY, REGRESSION.loss: SQUARED_ERROR}
"""The criterion of every loss that the kernels know."""
