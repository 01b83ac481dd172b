"""Measures by name, as `evaluation.metric` states them. The registry is the table of contents."""

from __future__ import annotations

from collections.abc import Callable

from federated.metrics.measures.classes.accuracy import accuracy, balanced_accuracy
from federated.metrics.measures.classes.at_threshold import sensitivity, specificity
from federated.metrics.measures.classes.f1 import f1, macro_f1
from federated.metrics.measures.classes.likelihood import CROSS_ENTROPY, log_loss, perplexity
from federated.metrics.measures.classes.probabilities import brier, calibration_error
from federated.metrics.measures.classes.ranking import auroc, average_precision
from federated.metrics.measures.labels.labels import label_accuracy, label_f1, label_loss
from federated.metrics.measures.measure import Arrays, Classes, Measure, Targets, Threshold, slug
from federated.metrics.measures.numbers.absolute import mae, mape, quantile_loss
from federated.metrics.measures.numbers.squared import mse, r2, rmse
from federated.metrics.measures.own import own_measure
from federated.metrics.measures.predictions import Predictions

MEASURES: dict[str, Callable[..., Measure]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "f1": f1,
    "auroc": auroc,
    "average_precision": average_precision,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "log_loss": log_loss,
    "perplexity": perplexity,
    "brier": brier,
    "calibration_error": calibration_error,
    "r2": r2,
    "mse": mse,
    "rmse": rmse,
    "mae": mae,
    "mape": mape,
    "quantile_loss": quantile_loss,
    "label_loss": label_loss,
    "label_accuracy": label_accuracy,
    "label_f1": label_f1,
}

__all__ = [
    "CROSS_ENTROPY",
    "MEASURES",
    "Arrays",
    "Classes",
    "Measure",
    "Predictions",
    "Targets",
    "Threshold",
    "own_measure",
    "slug",
]
