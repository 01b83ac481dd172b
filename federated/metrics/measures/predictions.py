"""Predictions: a model's answers beside the targets, with what several measures need of them computed once."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from federated.metrics.row_blocks import row_blocks


class Predictions:
    """A model's answers to some examples.

    answers: scores (logits) of the classes [N, classes], or values in the target's unit [N, outputs].
    targets: class numbers [N], or numbers [N] or [N, outputs]. Both on the CPU.
    """

    def __init__(self, answers: Tensor, targets: Tensor) -> None:
        self.answers, self.targets = answers, targets

    def __len__(self) -> int:
        return len(self.answers)

    @cached_property
    def labels(self) -> np.ndarray:
        """The class of every example, int64 [N]."""
        return self.targets.numpy()

    @cached_property
    def predicted(self) -> np.ndarray:
        """The class with the largest score, int64 [N]."""
        return self.answers.argmax(dim=1).numpy()

    @cached_property
    def losses(self) -> np.ndarray:
        """Cross-entropy in nats, float64 [N]."""
        losses = torch.empty(len(self), dtype=torch.float64)
        for rows in row_blocks(self.answers):
            losses[rows] = F.cross_entropy(self.answers[rows].double(), self.targets[rows], reduction="none")
        return losses.numpy()

    @cached_property
    def errors(self) -> Tensor:
        """Answers minus targets, float64 [N, outputs]."""
        targets = self.targets.reshape(self.answers.shape).double()
        return (self.answers.double() - targets).reshape(len(self), -1)
