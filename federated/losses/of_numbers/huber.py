"""Huber's loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from federated.foundation.scales import check_scale
from federated.losses.loss import Loss


def huber(delta: float = 1.0) -> Loss:
    """Half the squared error up to `delta`, linear beyond it, so that wild targets count less. The loop and vmap.

    delta: in the target's unit; with `target.standardise` in its standard deviations.

    Huber 1964, "Robust Estimation of a Location Parameter"; torch.nn.HuberLoss.
    """
    check_scale("delta", delta)

    def of_each(outputs: Tensor, targets: Tensor) -> Tensor:
        losses = F.huber_loss(outputs, targets.reshape(outputs.shape), reduction="none", delta=delta)
        return losses.mean(dim=-1)

    return Loss(("regression",), of_each)
