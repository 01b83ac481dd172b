"""The gradient of a loss in the form that the hand-written kernels take."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Criterion(NamedTuple):
    """A loss whose gradient is scale * (prediction - aim) / examples, for outputs [..., K, n], one example a column.

    predict: outputs -> [..., K, n]; aims: (targets [..., n] or [..., n, K], factors [..., n], K) -> the factors times
    the aims [..., K, n]; losses: (outputs, targets) -> [..., n], one an example; scale: K -> float.
    """

    predict: Callable[[Tensor], Tensor]
    aims: Callable[[Tensor, Tensor, int], Tensor]
    losses: Callable[[Tensor, Tensor], Tensor]
    scale: Callable[[int], float]


def values(targets: Tensor, factors: Tensor, num_outputs: int) -> Tensor:
    """The aims of a loss whose aims are its targets."""
    return in_rows(targets, factors.dim() + 1) * factors.unsqueeze(-2)


def in_rows(targets: Tensor, dimensions: int) -> Tensor:
    """[..., n, K], or [..., n] where K is 1 and so a dimension is missing -> [..., K, n]."""
    return (targets if targets.dim() == dimensions else targets.unsqueeze(-1)).transpose(-1, -2)
