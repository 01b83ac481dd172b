"""Calibration of the model's confidence, and its confusion between classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from federated.metrics.row_blocks import row_blocks

BINS = 15


class Reliability(NamedTuple):
    """Of each bin of confidence that holds examples, [b]: share of the examples, mean confidence, accuracy."""

    shares: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: Guo et al. 2017, "On calibration of modern neural networks", eq. 3."""
        return float(self.shares @ np.abs(self.accuracy - self.confidence))


def reliability(outputs: Tensor, targets: Tensor, bins: int = BINS) -> Reliability:
    """Confidence, the largest softmax of outputs [N, classes], against accuracy, in equal bins of (0, 1]."""
    confidence, predicted = largest(outputs)
    return reliability_of(confidence, (predicted == targets.numpy()).astype(np.float64), bins)


def reliability_of(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> Reliability:
    """The same from each example's confidence float64 [N], and 1 where it is right, else 0, float64 [N]."""
    at = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(at, minlength=bins)
    filled = counts > 0
    sums = (np.bincount(at, weights=values, minlength=bins)[filled] for values in (confidence, right))
    means = [each / counts[filled] for each in sums]
    return Reliability(counts[filled] / len(confidence), *means)


def largest(outputs: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(the largest softmax float64 [N], whose class it is int64 [N])."""
    confidence = torch.empty(len(outputs), dtype=torch.float64)
    predicted = torch.empty(len(outputs), dtype=torch.int64)
    for rows in row_blocks(outputs):
        confidence[rows], predicted[rows] = torch.softmax(outputs[rows].double(), dim=1).max(dim=1)
    return confidence.numpy(), predicted.numpy()


class Confusion(NamedTuple):
    """The number of examples for each pair of true and predicted class that occurs, each pair once.

    A table of all pairs would have the square of the number of classes.

    actual, taken_for: classes int64 [pairs]. counts: examples int64 [pairs]. classes: how many classes there are.
    """

    actual: np.ndarray
    taken_for: np.ndarray
    counts: np.ndarray
    classes: int

    @property
    def totals(self) -> np.ndarray:
        """Examples of each class, int64 [classes]."""
        return self._by_class(self.actual, self.counts)

    @property
    def predicted(self) -> np.ndarray:
        """Examples taken for each class, int64 [classes]."""
        return self._by_class(self.taken_for, self.counts)

    @property
    def right(self) -> np.ndarray:
        """Examples of each class that are taken for it, int64 [classes]."""
        same = self.actual == self.taken_for
        return self._by_class(self.actual[same], self.counts[same])

    def table(self) -> np.ndarray:
        """All pairs, int64 [classes, classes], the classes themselves in rows."""
        dense = np.zeros((self.classes, self.classes), np.int64)
        dense[self.actual, self.taken_for] = self.counts
        return dense

    def _by_class(self, which: np.ndarray, counts: np.ndarray) -> np.ndarray:
        return np.bincount(which, weights=counts, minlength=self.classes).astype(np.int64)


def confusion(outputs: Tensor, targets: Tensor) -> Confusion:
    """Of outputs [N, classes] and targets int [N]."""
    return confusion_of(targets.numpy(), outputs.argmax(dim=1).numpy(), outputs.shape[1])


def confusion_of(actual: np.ndarray, predicted: np.ndarray, classes: int) -> Confusion:
    """Of the true and the predicted class of every example, int64 [N] each."""
    pairs = actual * classes + predicted
    found, counts = np.unique(pairs, return_counts=True)
    return Confusion(found // classes, found % classes, counts, classes)


def macro_f1(found: Confusion) -> float:
    """Unweighted mean F1 of the classes that occur in targets or predictions."""
    involved = found.predicted + found.totals
    occurs = involved > 0
    return float((2 * found.right[occurs] / involved[occurs]).mean())


def class_accuracy(found: Confusion) -> np.ndarray:
    """Share of each class that is right, [classes]; NaN for one without examples."""
    totals, right = found.totals, found.right.astype(np.float64)
    accuracies: np.ndarray = np.divide(right, totals, out=np.full(len(totals), np.nan), where=totals > 0)
    return accuracies
