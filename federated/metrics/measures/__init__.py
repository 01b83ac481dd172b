"""Measures by name, as `evaluation.metric` states them. The registry is the table of contents."""

from __future__ import annotations

from collections.abc import Callable

from federated.metrics.measures.classes.accuracy import accuracy
from federated.metrics.measures.classes.f1 import macro_f1
from federated.metrics.measures.classes.likelihood import CROSS_ENTROPY
from federated.metrics.measures.labels.labels import label_accuracy, label_f1, label_loss
from federated.metrics.measures.measure import Arrays, Measure, Targets
from federated.metrics.measures.numbers.absolute import mae
from federated.metrics.measures.numbers.squared import mse, r2
from federated.metrics.measures.predictions import Predictions

MEASURES: dict[str, Callable[..., Measure]] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "mse": mse,
    "mae": mae,
    "r2": r2,
    "label_loss": label_loss,
    "label_accuracy": label_accuracy,
    "label_f1": label_f1,
}

__all__ = ["CROSS_ENTROPY", "MEASURES", "Arrays", "Measure", "Predictions", "Targets"]
