"""Predictions: a model's answers beside the targets, with what several measures need of them computed once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from federated.metrics.calibration import largest
from federated.metrics.row_blocks import row_blocks

NO_THRESHOLDS: Mapping[str, float] = {}


class Predictions:
    """A model's answers to some examples.

    answers: scores (logits) of the classes [N, classes], or values in the target's unit [N, outputs].
    targets: class numbers [N], or numbers [N] or [N, outputs]. Both on the CPU.
    thresholds: name of a rule -> the probability that it chose, on examples that do not judge.
    counts: of sequences, whose positions are the rows here, the number of rows of each example; None: one each.
    """

    def __init__(
        self,
        answers: Tensor,
        targets: Tensor,
        thresholds: Mapping[str, float] = NO_THRESHOLDS,
        counts: np.ndarray | None = None,
    ) -> None:
        self.answers, self.targets, self.thresholds, self._counts = answers, targets, thresholds, counts

    def rows_of(self, sizes: np.ndarray) -> np.ndarray:
        """The number of rows of each client [K]. sizes: the number of examples of each, which follow one another."""
        if self._counts is None:
            return sizes
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(self._counts)])[np.cumsum(sizes)]
        return np.diff(ends, prepend=0)

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
    def confidence(self) -> np.ndarray:
        """The probability of that class, float64 [N]."""
        return largest(self.answers)[0]

    @cached_property
    def losses(self) -> np.ndarray:
        """Cross-entropy in nats, float64 [N]."""
        losses = torch.empty(len(self), dtype=torch.float64)
        for rows in row_blocks(self.answers):
            losses[rows] = F.cross_entropy(self.answers[rows].double(), self.targets[rows], reduction="none")
        return losses.numpy()

    @cached_property
    def squared_distances(self) -> np.ndarray:
        """The squared distance of the probabilities from 1 for the right class and 0 for the others, float64 [N]."""
        distances = torch.empty(len(self), dtype=torch.float64)
        for rows in row_blocks(self.answers):
            shares = torch.softmax(self.answers[rows].double(), dim=1)
            right = shares.gather(1, self.targets[rows, None])[:, 0]
            distances[rows] = shares.square().sum(dim=1) - 2 * right + 1
        return distances.numpy()

    @cached_property
    def errors(self) -> Tensor:
        """Answers minus targets, float64 [N, outputs]."""
        targets = self.targets.reshape(self.answers.shape).double()
        return (self.answers.double() - targets).reshape(len(self), -1)

    def probability(self, of: int) -> np.ndarray:
        """The probability of one class, float64 [N]."""
        shares: np.ndarray = np.exp(self.log_probability(of))
        return shares

    def log_probability(self, of: int) -> np.ndarray:
        """Its logarithm, float64 [N], which tells apart what rounds to a probability of 0."""
        return (self.answers[:, of].double() - self._log_sums).numpy()

    def margin(self, of: int) -> np.ndarray:
        """The score of one of two classes minus that of the other, float64 [N]: the log odds."""
        return (self.answers[:, of].double() - self.answers[:, 1 - of].double()).numpy()

    @cached_property
    def _log_sums(self) -> Tensor:
        sums = torch.empty(len(self), dtype=torch.float64)
        for rows in row_blocks(self.answers):
            sums[rows] = torch.logsumexp(self.answers[rows].double(), dim=1)
        return sums
