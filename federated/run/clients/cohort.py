"""The cohort of a round: sampling of clients, and the weight of each client's update."""

from __future__ import annotations

import numpy as np

from federated.foundation.randomness import Purpose, generator
from federated.run.setup import Setup


def sample_cohort(setup: Setup, done: int) -> np.ndarray:
    """The clients of the round after `done` rounds, in rising order; without replacement.

    The draw is one shuffle of all clients, of which those with examples are taken from the front: arms whose
    partitions leave different clients empty still share nearly all of their cohorts.
    """
    order = generator(setup.config.seed, Purpose.COHORT, done).permutation(len(setup.federation.clients))
    eligible = order[setup.federation.sizes[order] > 0]
    return np.sort(eligible[: setup.trainers.cohort_size])


def weights_of(cohort: np.ndarray, setup: Setup) -> np.ndarray:
    """The weight of each client's update in the mean, float64 [C], summing to one."""
    counts = _counts(cohort, setup)
    shares: np.ndarray = counts / counts.sum()
    return shares


def count_of(clients: np.ndarray, setup: Setup) -> float:
    """The total weight of these clients before normalisation: their number, or their number of examples."""
    return float(_counts(clients, setup).sum())


def _counts(clients: np.ndarray, setup: Setup) -> np.ndarray:
    uniform = setup.config.cohort.weighting == "uniform"
    return np.ones(len(clients)) if uniform else setup.federation.sizes[clients].astype(np.float64)
