"""Measures of squared errors."""

from __future__ import annotations

import numpy as np

from federated.metrics.by_client import grouped_r2
from federated.metrics.measures.measure import Arrays, Measure, mean_of
from federated.metrics.measures.predictions import Predictions
from federated.metrics.ranges import UP_TO_ONE


def mse() -> Measure:
    """Mean squared error, over outputs."""
    return Measure(
        "mse",
        "MSE",
        "lower",
        "squared target units",
        "mean squared error on {set}",
        _squared,
        mean_of,
        targets=("regression",),
        mean=True,
    )


def _squared(found: Predictions) -> Arrays:
    return (found.errors.square().mean(dim=1).numpy(),)


def rmse() -> Measure:
    """Root of the mean squared error, averaged over outputs, in the target's unit."""
    return Measure(
        "rmse",
        "RMSE",
        "lower",
        "target units",
        "root of the mean squared error on {set}",
        lambda found: (found.errors.square().numpy(),),
        _rmse,
        targets=("regression",),
        together=True,
    )


def r2() -> Measure:
    """Coefficient of determination, averaged over outputs; undefined below 2 examples.

    As in scikit-learn: targets that are all the same give 1 where they are met exactly, else 0.
    """
    return Measure(
        "r2",
        "R²",
        "higher",
        "up to 1",
        "coefficient of determination on {set}",
        _values,
        _r2,
        UP_TO_ONE,
        least=2,
        targets=("regression",),
        needs="two examples",
        together=True,
    )


def _rmse(squared: np.ndarray) -> float:
    return float(np.sqrt(squared.mean(axis=0)).mean())


def _values(found: Predictions) -> Arrays:
    """Answers and targets, float64 [N, outputs]."""
    answers, targets = found.answers.double(), found.targets.reshape(found.answers.shape).double()
    return answers.reshape(len(found), -1).numpy(), targets.reshape(len(found), -1).numpy()


def _r2(answers: np.ndarray, targets: np.ndarray) -> float:
    return float(grouped_r2(answers, targets, np.array([len(answers)]))[0])
