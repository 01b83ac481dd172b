"""Regression: a value for every target column, mean squared error, R2."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from federated.metrics.measures import grouped_r2
from federated.metrics.ranges import UP_TO_ONE
from federated.metrics.tasks.task import Measure, Task


def _loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs, targets.reshape(outputs.shape))


def _of_each(outputs: Tensor, targets: Tensor) -> dict[str, np.ndarray]:
    """mse, mae: over outputs."""
    errors = (outputs.double() - targets.reshape(outputs.shape).double()).reshape(len(outputs), -1)
    return {"mse": errors.square().mean(dim=1).numpy(), "mae": errors.abs().mean(dim=1).numpy()}


def _of_all(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """r2: averaged over outputs; left out below 2 examples, where it is undefined."""
    if len(outputs) < 2:
        return {}
    return {"r2": float(_by_client(outputs, targets, np.array([len(outputs)]))["r2"][0])}


def _by_client(outputs: Tensor, targets: Tensor, sizes: np.ndarray) -> dict[str, np.ndarray]:
    true = targets.reshape(outputs.shape).double().numpy()
    return {"r2": grouped_r2(outputs.double().numpy(), true, sizes)}


def _one_a_column(classes: tuple[str, ...] | None, targets: np.ndarray) -> int:
    return 1 if targets.ndim == 1 else int(targets.shape[1])


MEASURES = (
    Measure("mse", "MSE", "lower", "squared target units", "mean squared error on {set}"),
    Measure("mae", "MAE", "lower", "target units", "mean absolute error on {set}"),
    Measure("r2", "R²", "higher", "up to 1", "coefficient of determination on {set}", UP_TO_ONE, least=2),
)

REGRESSION = Task(
    name="regression",
    targets="regression",
    num_outputs=_one_a_column,
    loss=_loss,
    measures=MEASURES,
    main="r2",
    headline="mse",
    each=_of_each,
    whole=_of_all,
    by_client=_by_client,
)
