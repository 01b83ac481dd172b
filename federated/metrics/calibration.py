"""Whether the model's confidence can be trusted, and which classes it takes for which."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

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
    confidence, predicted = (part.numpy() for part in torch.softmax(outputs.double(), dim=1).max(dim=1))
    right = (predicted == targets.numpy()).astype(np.float64)
    at = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(at, minlength=bins)
    filled = counts > 0
    sums = (np.bincount(at, weights=values, minlength=bins)[filled] for values in (confidence, right))
    means = [each / counts[filled] for each in sums]
    return Reliability(counts[filled] / len(confidence), *means)


def confusion(outputs: Tensor, targets: Tensor) -> np.ndarray:
    """How many examples of each class (rows) are taken for which (columns), int64 [classes, classes]."""
    classes = outputs.shape[1]
    pairs = targets.numpy() * classes + outputs.argmax(dim=1).numpy()
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def macro_f1(counts: np.ndarray) -> float:
    """Unweighted mean F1 of the classes that occur in targets or predictions. counts: of `confusion`."""
    involved = counts.sum(axis=0) + counts.sum(axis=1)
    occurs = involved > 0
    return float((2 * np.diagonal(counts)[occurs] / involved[occurs]).mean())


def class_accuracy(counts: np.ndarray) -> np.ndarray:
    """Share of each class that is right, [classes]; NaN for one without examples. counts: of `confusion`."""
    totals = counts.sum(axis=1)
    right = np.diagonal(counts).astype(np.float64)
    accuracies: np.ndarray = np.divide(right, totals, out=np.full(len(totals), np.nan), where=totals > 0)
    return accuracies
