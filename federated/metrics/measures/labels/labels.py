"""Measures of labels, of which an example may have several; predicted where the probability is above a half."""

from __future__ import annotations

import numpy as np
from torch.nn import functional as F

from federated.metrics.measures.measure import Arrays, Measure, mean_of
from federated.metrics.measures.predictions import Predictions
from federated.metrics.ranges import SHARE


def label_loss() -> Measure:
    """Mean binary cross-entropy of a label, over labels."""
    return Measure(
        "label_loss",
        "loss per label",
        "lower",
        "nats",
        "mean binary cross-entropy of a label on {set}",
        _losses,
        mean_of,
        targets=("multilabel",),
        mean=True,
    )


def label_accuracy() -> Measure:
    """Share of labels that are right, over labels: one less the Hamming loss."""
    return Measure(
        "label_accuracy",
        "label accuracy",
        "higher",
        "0 to 1",
        "share of the labels of {set} that is right",
        _right,
        mean_of,
        SHARE,
        targets=("multilabel",),
        mean=True,
    )


def label_f1() -> Measure:
    """Unweighted mean of the labels' F1.

    As scikit-learn's `f1_score(average="macro", zero_division=0)`: a label that nothing has and nothing is predicted
    to have gives 0.
    """
    return Measure(
        "label_f1",
        "macro F1 of labels",
        "higher",
        "0 to 1",
        "unweighted mean of the labels' F1 on {set}",
        _both,
        _macro,
        SHARE,
        targets=("multilabel",),
        together=True,
    )


def _both(found: Predictions) -> Arrays:
    """What is predicted and what is true, bool [N, labels]."""
    return (found.answers > 0).numpy(), (found.targets.reshape(found.answers.shape) > 0).numpy()


def _right(found: Predictions) -> Arrays:
    predicted, true = _both(found)
    return ((predicted == true).mean(axis=1),)


def _losses(found: Predictions) -> Arrays:
    targets = found.targets.reshape(found.answers.shape).double()
    losses = F.binary_cross_entropy_with_logits(found.answers.double(), targets, reduction="none")
    return (losses.mean(dim=1).numpy(),)


def _macro(predicted: np.ndarray, true: np.ndarray) -> float:
    hits = (predicted & true).sum(axis=0)
    total = predicted.sum(axis=0) + true.sum(axis=0)
    return float(np.divide(2 * hits, total, out=np.zeros(len(total)), where=total > 0).mean())
