"""Binary cross-entropy of several labels at once."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from federated.foundation.scales import LARGEST_FLOAT
from federated.losses.criterion import Criterion, in_rows, values
from federated.losses.loss import Loss


def bce(positive_weights: Literal["balanced"] | tuple[float, ...] | None = None) -> Loss:
    """Binary cross-entropy of each label's score, the mean over labels. Every engine.

    positive_weights: for each label, in the order of the target columns, what the loss is multiplied by where an
        example has it. `balanced`: the examples without the label over those with it, counted over the training
        examples of all clients, so that having it and not having it have the same part in the sum; clients would have
        to tell how many examples of each label they hold. A label that all or none of them have has 1. null: all
        alike. With weights it goes by the loop and vmap.
    """
    if positive_weights is None:
        return Loss(("multilabel",), _of_each, kernel=_CRITERION)
    if positive_weights == "balanced":
        return Loss(("multilabel",), _not_learnt, learn=_balanced)
    if bad := [weight for weight in positive_weights if not 0 < weight <= LARGEST_FLOAT]:
        raise ValueError(f"positive_weights must be numbers above 0, got {bad[0]}")
    weights = positive_weights

    def of_each(outputs: Tensor, targets: Tensor) -> Tensor:
        factors = outputs.new_tensor(weights)
        losses = F.binary_cross_entropy_with_logits(
            outputs, targets.reshape(outputs.shape), reduction="none", pos_weight=factors
        )
        return losses.mean(dim=-1)

    return Loss(("multilabel",), of_each, num_outputs=len(weights))


def _balanced(targets: np.ndarray) -> Loss:
    """targets: 0 and 1 of all training examples, [n, labels]."""
    having = targets.reshape(len(targets), -1).sum(axis=0, dtype=np.float64)
    lacking = len(targets) - having
    some = (having > 0) & (lacking > 0)
    return bce(tuple(np.divide(lacking, having, out=np.ones(len(having)), where=some).tolist()))


def _not_learnt(outputs: Tensor, targets: Tensor) -> Tensor:
    raise TypeError("the loss has not learnt from the targets")


def _of_each(outputs: Tensor, targets: Tensor) -> Tensor:
    losses = F.binary_cross_entropy_with_logits(outputs, targets.reshape(outputs.shape), reduction="none")
    return losses.mean(dim=-1)


def _losses(outputs: Tensor, targets: Tensor) -> Tensor:
    true = in_rows(targets, outputs.dim())
    return F.binary_cross_entropy_with_logits(outputs, true.contiguous(), reduction="none").mean(dim=-2)


_CRITERION = Criterion(torch.sigmoid, values, _losses, lambda num_outputs: 1.0 / num_outputs)
