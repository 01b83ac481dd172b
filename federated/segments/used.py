"""The quantities of a run's bill: what it used of the machine, what its clients sent, and the data that stayed."""

from __future__ import annotations

from typing import Any

import numpy as np

from federated.federation.loading import stored_sizes
from federated.metrics import Metrics
from federated.run.course import Course
from federated.run.setup import Setup
from federated.shards.by_client import DOWNLINK, ROUNDS, UPLINK, ledger_of

_SUMS = {
    "bill/core_seconds": "system/processor_seconds",
    "bill/gpu_seconds": "system/gpu_seconds",
    "bill/energy_joules": "system/energy_joules",
}
"""What is summed over the rounds."""


def bill_metrics(course: Course, setup: Setup) -> Metrics:
    """The quantities of a run that has ended. A sum of which some rounds are not known is left out."""
    return {
        "bill/rounds": course.round,
        **machine_used(course),
        "bill/data_bytes": int(data_sizes(setup).sum()),
    }


def machine_used(course: Course) -> Metrics:
    """What the rounds so far used of this machine, by metric."""
    return {name: sum(values) for name, of in _SUMS.items() if (values := _of_every_round(course, of))}


def bill_by_client(course: Course, setup: Setup) -> dict[str, list[Any]]:
    """One row a participating client: rounds, bytes, examples trained on and the data it holds; {} without a ledger."""
    ledger = ledger_of(course.state)
    if ledger is None:
        return {}
    return {
        "client": list(setup.federation.names),
        "rounds": ledger[ROUNDS].tolist(),
        "uplink_bytes": ledger[UPLINK].tolist(),
        "downlink_bytes": ledger[DOWNLINK].tolist(),
        "examples_trained_on": (ledger[ROUNDS] * _examples_a_round(setup)).tolist(),
        "data_bytes": data_sizes(setup).tolist(),
    }


def data_sizes(setup: Setup) -> np.ndarray:
    """The bytes of each participating client's training examples before any preprocessing, int64 [K]."""
    each = stored_sizes(setup.config.dataset_as_read)
    return np.array([each[held].sum() for held in setup.federation.clients], np.int64)


def _of_every_round(course: Course, name: str) -> list[float]:
    found = [metrics[name] for _, metrics in course.history if name in metrics]
    return found if len(found) == course.round else []


def _examples_a_round(setup: Setup) -> np.ndarray:
    """The examples that each client goes through in a round, float [K]; of a range of epochs or steps, the mean."""
    local, sizes = setup.trainers.local, setup.federation.sizes
    batch = np.minimum(local.batch_size or np.inf, sizes)
    by_step: np.ndarray = (
        sizes * np.mean(local.passes) if local.steps is None else batch * np.mean(local.steps)
    )
    return by_step
