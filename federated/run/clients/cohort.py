"""The cohort of a round: the draw of its clients, and the weight of each client's update."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice

import numpy as np

from federated.foundation.randomness import Purpose, generator
from federated.participation import Cohort, Memory, Population
from federated.privacy import Participated
from federated.run.preparing.trainers import participated_among, population_among
from federated.run.setup import Setup


def population_of(setup: Setup) -> Population:
    """The holders from which cohorts are drawn, canaries included."""
    return population_among(setup.config, setup.trainers)


def draw_cohort(setup: Setup, memory: Memory, done: int) -> tuple[Memory, Cohort]:
    """(new memory, cohort) of the round after `done` rounds, without its canaries."""
    after, cohort = _draw(setup, memory, done)
    clients = cohort.clients < len(setup.trainers.holders.indices)
    return after, cohort if clients.all() else Cohort(cohort.clients[clients], cohort.lost[clients])


def heard_canaries(setup: Setup, memory: Memory, done: int) -> np.ndarray:
    """The canaries that are heard in the round after `done` rounds, int64, rising; they are numbered after clients."""
    if not setup.config.privacy.canaries:
        return np.zeros(0, np.int64)
    heard = _draw(setup, memory, done)[1].heard
    return heard[heard >= len(setup.trainers.holders.indices)]


def _draw(setup: Setup, memory: Memory, done: int) -> tuple[Memory, Cohort]:
    numbers = partial(generator, setup.config.seed, Purpose.COHORT)
    return setup.parts.participation.draw(memory, done, population_of(setup), numbers)


def cohorts(setup: Setup) -> Iterator[Cohort]:
    """The cohorts of all rounds, from the first on: who takes part when depends on nothing that is learned."""
    memory = setup.parts.participation.init(population_of(setup))
    for done in range(setup.config.rounds):
        memory, cohort = draw_cohort(setup, memory, done)
        yield cohort


def sample_cohort(setup: Setup, done: int) -> np.ndarray:
    """The clients of the round after `done` rounds, in rising order."""
    memory = setup.parts.participation.init(population_of(setup))
    if memory:
        return next(islice(cohorts(setup), done, None)).clients
    return draw_cohort(setup, memory, done)[1].clients


def expected_clients(setup: Setup) -> float:
    """The mean number of clients in a round, canaries not counted."""
    population = population_of(setup)
    clients = len(setup.trainers.eligible) / len(population.eligible)
    return clients * setup.parts.participation.expected(population)


def expected_updates(setup: Setup) -> float:
    """The mean number of updates that the server hears in a round, canaries' among them."""
    participation = setup.parts.participation
    return participation.expected(population_of(setup)) * (1 - participation.losses)


def participated(setup: Setup, rounds: int) -> Participated:
    """What an accountant may assume of who takes part in the first so many rounds."""
    return participated_among(setup.config, setup.trainers, setup.parts.participation, rounds)


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
