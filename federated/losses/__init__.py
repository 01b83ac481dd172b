"""Losses by name: what local training minimises. The registry is the table of contents."""

from collections.abc import Callable

from federated.losses.criterion import Criterion
from federated.losses.loss import Link, Loss
from federated.losses.of_classes.bce import bce
from federated.losses.of_classes.cross_entropy import cross_entropy
from federated.losses.of_classes.focal import focal
from federated.losses.of_numbers.huber import huber
from federated.losses.of_numbers.mae import mae
from federated.losses.of_numbers.mse import mse
from federated.losses.of_numbers.poisson import poisson
from federated.losses.of_numbers.quantile import quantile
from federated.losses.of_positions import of_positions
from federated.losses.readout import Readout
from federated.metrics.tasks import Task

LOSSES: dict[str, Callable[..., Loss]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "bce": bce,
    "mse": mse,
    "mae": mae,
    "huber": huber,
    "poisson": poisson,
    "quantile": quantile,
}


def usual_loss(task: Task) -> Loss:
    """The loss of a task where none is stated."""
    return LOSSES[task.usual_loss]()


__all__ = ["LOSSES", "Criterion", "Link", "Loss", "Readout", "of_positions", "usual_loss"]
