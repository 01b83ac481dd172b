"""The likelihood of counts."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from federated.losses.criterion import Criterion, in_rows, values
from federated.losses.loss import Loss


def poisson() -> Loss:
    """Minus the log likelihood of counts: the model's outputs are logarithms of expected counts. Every engine.

    Measures are of the expected counts. What does not depend on the model is left out, as in torch.nn.PoissonNLLLoss,
    so that the loss can be below zero. Targets must not be negative.
    """
    return Loss(("regression",), _of_each, kernel=_CRITERION, check=_check, link="exp", negative=True)


def _check(targets: np.ndarray) -> None:
    if targets.min() < 0:
        raise ValueError(
            f"targets must not be negative, got {targets.min():g}; use mse, mae or huber for such targets"
        )


def _of_each(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.poisson_nll_loss(outputs, targets.reshape(outputs.shape), reduction="none").mean(dim=-1)


def _losses(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.exp() - in_rows(targets, outputs.dim()) * outputs).mean(dim=-2)


_CRITERION = Criterion(torch.exp, values, _losses, lambda num_outputs: 1.0 / num_outputs)
