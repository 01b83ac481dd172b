"""Mean absolute error."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from federated.losses.loss import Loss


def mae() -> Loss:
    """The absolute error, the mean over several targets; predicts a median. The loop and vmap."""
    return Loss(("regression",), _of_each)


def _of_each(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.l1_loss(outputs, targets.reshape(outputs.shape), reduction="none").mean(dim=-1)
