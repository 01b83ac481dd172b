"""Mean squared error."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from federated.losses.criterion import Criterion, in_rows, values
from federated.losses.loss import Loss


def mse() -> Loss:
    """The squared error, the mean over several targets; predicts a mean. Every engine."""
    return Loss(("regression",), _of_each, _of_all, _CRITERION)


def _of_all(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs, targets.reshape(outputs.shape))


def _of_each(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs, targets.reshape(outputs.shape), reduction="none").mean(dim=-1)


def _squared_errors(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - in_rows(targets, outputs.dim())).square().mean(dim=-2)


_CRITERION = Criterion(
    lambda outputs: outputs, values, _squared_errors, lambda num_outputs: 2.0 / num_outputs
)
