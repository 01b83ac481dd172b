"""Quantile (pinball) loss."""

from __future__ import annotations

import torch
from torch import Tensor

from federated.losses.loss import Loss


def quantile(level: float = 0.5) -> Loss:
    """Errors below and above count differently, so that a quantile is predicted. The loop and vmap.

    level: the share of targets that shall lie below the prediction, between 0 and 1; 0.5 is half the absolute error.

    Koenker and Bassett 1978, "Regression Quantiles"; scikit-learn's mean_pinball_loss.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")

    def of_each(outputs: Tensor, targets: Tensor) -> Tensor:
        errors = targets.reshape(outputs.shape) - outputs
        return torch.maximum(level * errors, (level - 1) * errors).mean(dim=-1)

    return Loss(("regression",), of_each)
