"""Binary cross-entropy of several labels at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from federated.foundation.scales import LARGEST_FLOAT
from federated.losses.criterion import Criterion, in_rows, values
from federated.losses.loss import Loss


def bce(positive_weights: tuple[float, ...] | None = None) -> Loss:
    """Binary cross-entropy of each label's score, the mean over labels. Every engine.

    positive_weights: for each label, in the order of the target columns, what the loss is multiplied by where an
        example has it, such as the examples without a rare label over those with it. null: all alike. With them it goes
        by the loop and vmap.
    """
    if positive_weights is None:
        return Loss(("multilabel",), _of_each, kernel=_CRITERION)
    if bad := [weight for weight in positive_weights if not 0 < weight <= LARGEST_FLOAT]:
        raise ValueError(f"positive_weights must be numbers above 0, got {bad[0]}")

    def of_each(outputs: Tensor, targets: Tensor) -> Tensor:
        factors = outputs.new_tensor(positive_weights)
        losses = F.binary_cross_entropy_with_logits(
            outputs, targets.reshape(outputs.shape), reduction="none", pos_weight=factors
        )
        return losses.mean(dim=-1)

    return Loss(("multilabel",), of_each, num_outputs=len(positive_weights))


def _of_each(outputs: Tensor, targets: Tensor) -> Tensor:
    losses = F.binary_cross_entropy_with_logits(outputs, targets.reshape(outputs.shape), reduction="none")
    return losses.mean(dim=-1)


def _losses(outputs: Tensor, targets: Tensor) -> Tensor:
    true = in_rows(targets, outputs.dim())
    return F.binary_cross_entropy_with_logits(outputs, true.contiguous(), reduction="none").mean(dim=-2)


_CRITERION = Criterion(torch.sigmoid, values, _losses, lambda num_outputs: 1.0 / num_outputs)
