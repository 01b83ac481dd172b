"""Cross-entropy of one class of several."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from federated.losses.criterion import Criterion
from federated.losses.loss import Loss
from federated.losses.of_classes.class_weights import ClassWeights, weigher


def cross_entropy(class_weights: ClassWeights = None, label_smoothing: float = 0.0) -> Loss:
    """Minus the logarithm of the probability of the right class. Every engine.

    class_weights: what the loss of an example is multiplied by, by its class: a number for each class in their order,
        a mapping from the names of all classes, or `balanced`: examples / (classes x examples of the class), counted
        over the training examples of all clients, so that each class has the same part in the sum. Clients would have
        to tell how many examples of each class they hold. `balanced_by_client` counts at each client alone, over the
        classes that it has, and nothing is told. null: all alike.
    label_smoothing: the share of each target that is spread evenly over all classes (Szegedy et al. 2016), from 0 up to
        1, as in torch.nn.CrossEntropyLoss.

    A weighted loss is divided by the number of examples of a batch; torch's `weight` divides by the sum of their
    weights, and so forgets them where a client has a single class.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must be from 0 up to 1, without 1, got {label_smoothing}")
    mean = partial(F.cross_entropy, label_smoothing=label_smoothing) if label_smoothing else F.cross_entropy
    return Loss(
        targets=("classification",),
        of_each=partial(F.cross_entropy, reduction="none", label_smoothing=label_smoothing),
        of_all=mean,
        kernel=_criterion(label_smoothing),
        weigh=weigher(class_weights),
        smooths=label_smoothing > 0,
    )


def _criterion(smoothing: float) -> Criterion:
    return Criterion(
        _softmax,
        partial(_at_classes, smoothing),
        partial(_cross_entropies, smoothing),
        lambda num_outputs: 1.0,
    )


def _softmax(outputs: Tensor) -> Tensor:
    return torch.softmax(outputs, dim=-2)  # of rows of ten torch's takes 150 ns a row, of columns 30


def _at_classes(smoothing: float, targets: Tensor, factors: Tensor, num_outputs: int) -> Tensor:
    aims = factors.new_zeros(*targets.shape[:-1], num_outputs, targets.shape[-1])
    if smoothing:
        aims += factors.unsqueeze(-2) * (smoothing / num_outputs)
        return aims.scatter_add_(-2, targets.unsqueeze(-2), factors.unsqueeze(-2) * (1 - smoothing))
    return aims.scatter_(-2, targets.unsqueeze(-2), factors.unsqueeze(-2))


def _cross_entropies(smoothing: float, outputs: Tensor, targets: Tensor) -> Tensor:
    logarithms = torch.log_softmax(outputs, dim=-2)
    right = logarithms.gather(-2, targets.unsqueeze(-2)).squeeze(-2).neg_()
    return right if not smoothing else right * (1 - smoothing) - logarithms.mean(dim=-2) * smoothing
