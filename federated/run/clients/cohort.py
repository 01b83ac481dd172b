"""The cohort of a round: the draw of its clients, and the weight of each client's update."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from cachetools import cached

from federated.foundation.randomness import NoiseSource
from federated.participation import Cohort, Memory, Numbers, Population, SamplingLaw
from federated.privacy import Participated
from federated.run.memory import PARTICIPATION, with_server
from federated.run.preparing.meetings import meeting_of, why_lost
from federated.run.preparing.trainers import participated_among, population_among
from federated.run.setup import Setup
from federated.run.state import RunState

_OF_SETUP: WeakKeyDictionary[Setup, Population] = WeakKeyDictionary()


@cached(_OF_SETUP, key=lambda setup: setup)
def population_of(setup: Setup) -> Population:
    """The holders from which cohorts are drawn, canaries included."""
    return population_among(setup.config, setup.trainers)


class Drawn(NamedTuple):
    """One draw. memory: after it. cohort: its clients.

    canaries: those that are heard, int64, rising; they are numbered after the clients.
    """

    memory: Memory
    cohort: Cohort
    canaries: np.ndarray


def next_cohort(state: RunState, setup: Setup) -> tuple[RunState, Cohort, np.ndarray]:
    """(the state in which the draw is remembered, the cohort of the next round, the canaries that are heard in it)."""
    before = state.server.get(PARTICIPATION) or setup.parts.participation.init(population_of(setup))
    memory, cohort, canaries = draw_cohort(setup, before, state.round)
    if memory or PARTICIPATION in state.server:
        state = replace(state, server=with_server(state.server, PARTICIPATION, memory))
    return state, cohort, canaries


def draw_cohort(setup: Setup, memory: Memory, done: int) -> Drawn:
    """The draw of the round after `done` rounds, another one each time where cohorts are secret."""
    return _drawn(setup, memory, done, NoiseSource(setup.config.seed, are_secret(setup)).of_cohort)


def are_secret(setup: Setup) -> bool:
    """Whether cohorts come from a secure source: with `privacy.secure`, where epsilon needs them to stay unknown."""
    amplified = setup.promise is not None and setup.promise.amplified
    return setup.config.privacy.secure and amplified and setup.parts.participation.law is SamplingLaw.POISSON


def _drawn(setup: Setup, memory: Memory, done: int, numbers: Numbers) -> Drawn:
    after, cohort = setup.parts.participation.draw(memory, done, population_of(setup), numbers)
    clients = cohort.clients < len(setup.trainers.holders.indices)
    if clients.all():
        return Drawn(after, cohort, np.zeros(0, np.int64))
    of_clients = Cohort(cohort.clients[clients], cohort.lost[clients])
    return Drawn(after, of_clients, cohort.heard[cohort.heard >= len(setup.trainers.holders.indices)])


def cohorts(setup: Setup) -> Iterator[Cohort]:
    """The cohorts of all rounds, from the first on: who takes part when depends on nothing that is learned.

    Where cohorts are secret these are others, by the same law.
    """
    memory, numbers = setup.parts.participation.init(population_of(setup)), NoiseSource(setup.config.seed)
    for done in range(setup.config.rounds):
        memory, cohort, _ = _drawn(setup, memory, done, numbers.of_cohort)
        yield cohort


def heard_within(setup: Setup, rounds: int) -> np.ndarray:
    """The clients whose update arrived in one of the first so many rounds, int64, rising."""
    heard = np.zeros(len(setup.trainers.holders.indices), bool)
    for done, cohort in enumerate(islice(cohorts(setup), rounds)):
        if not why_lost(setup.parts, meeting_of(setup.config, setup.trainers, done, cohort)):
            heard[cohort.heard] = True
        if heard[setup.trainers.eligible].all():
            break
    return np.flatnonzero(heard)


def sample_cohort(setup: Setup, done: int) -> np.ndarray:
    """The clients of the round after `done` rounds, in rising order; as of `cohorts`."""
    memory = setup.parts.participation.init(population_of(setup))
    if memory:
        return next(islice(cohorts(setup), done, None)).clients
    return _drawn(setup, memory, done, NoiseSource(setup.config.seed).of_cohort).cohort.clients


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
    counts = counts_of(cohort, setup)
    shares: np.ndarray = counts / counts.sum()
    return shares


def count_of(clients: np.ndarray, setup: Setup) -> float:
    """The total weight of these clients before normalisation: their number, or their number of examples."""
    return float(counts_of(clients, setup).sum())


def counts_of(clients: np.ndarray, setup: Setup) -> np.ndarray:
    """The weight of each of these clients before normalisation, float64 [c]."""
    uniform = setup.config.cohort.weighting == "uniform"
    return np.ones(len(clients)) if uniform else setup.federation.sizes[clients].astype(np.float64)
