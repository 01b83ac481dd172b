"""Regression: a value for every target column, mean squared error, R2."""

from __future__ import annotations

import numpy as np

from federated.metrics.measures.numbers.absolute import mae
from federated.metrics.measures.numbers.squared import mse, r2
from federated.metrics.tasks.task import Task


def _one_a_column(classes: tuple[str, ...] | None, targets: np.ndarray) -> int:
    return 1 if targets.ndim == 1 else int(targets.shape[1])


REGRESSION = Task(
    name="regression",
    targets="regression",
    num_outputs=_one_a_column,
    usual_loss="mse",
    measures=(mse(), mae(), r2()),
    main="r2",
    headline="mse",
)
