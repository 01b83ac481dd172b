"""The engine: local training of the clients of a cohort. The registry holds its learning-rate schedules."""

from collections.abc import Callable

from federated.algorithms.schedules import Schedule, constant, cosine, exponential, step
from federated.local_training.steps.updates import LocalTrainer, Updates

SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "step": step,
    "exponential": exponential,
    "cosine": cosine,
}

__all__ = ["SCHEDULES", "LocalTrainer", "Schedule", "Updates"]
