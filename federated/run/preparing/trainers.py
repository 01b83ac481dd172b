"""The trainers of a run: the holders of examples, how many train in a round, and with which options."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_partitioners import Partition
from federated.config.local import LocalTraining
from federated.config.run import RunConfig
from federated.config.training import TrainingKind
from federated.federation.federation import Federation
from federated.participation import Participation, Population
from federated.privacy import Participated
from federated.run.preparing.budget import centralised_training


@dataclass(frozen=True, eq=False)
class Trainers:
    """The holders of training examples and their part in a round.

    holders: the training examples of each: of the clients, or of one holder of them all.
    eligible: the holders with at least one training example, int64; cohort_size: the number that train in a round.
    local: what each does in a round.
    """

    kind: TrainingKind
    holders: Partition
    eligible: np.ndarray
    cohort_size: int
    local: LocalTraining

    def most_in(self, rounds: int) -> int:
        """The most holders that can have trained after so many rounds; with own models all of them take turns."""
        every = len(self.eligible)
        return every if self.kind.own_models else min(every, self.cohort_size * rounds)


def who_trains(config: RunConfig, federation: Federation) -> Trainers:
    """The trainers of a run: its clients, or one holder of all their examples with a budget like theirs."""
    eligible = np.flatnonzero(federation.sizes)
    size = min(config.cohort.size_among(len(federation.clients)), len(eligible))
    if config.kind.pools_examples:
        everybody = Partition((federation.training,), ("everybody",))
        local = centralised_training(config, federation.clients, size)
        return Trainers(config.kind, everybody, np.zeros(1, np.int64), 1, local)
    clients = Partition(federation.clients, federation.names)
    return Trainers(config.kind, clients, eligible, size, _local(config))


def _local(config: RunConfig) -> LocalTraining:
    """The clients' local training: as stated, or the one step of an algorithm that has no other."""
    if not (config.kind.has_server and config.algorithm.build().one_step):
        return config.local
    return config.local.model_copy(update={"epochs": None, "steps": 1, "batch_size": None})


def population_among(config: RunConfig, trainers: Trainers) -> Population:
    """The holders from which cohorts are drawn, and after them the canaries: of these as large a share takes part."""
    every, canaries = len(trainers.holders.indices), config.privacy.canaries
    share = config.cohort.share_among(every, len(trainers.eligible))
    eligible, size = trainers.eligible, trainers.cohort_size
    if canaries:
        size = round(size * (len(eligible) + canaries) / len(eligible))
        eligible = np.concatenate([eligible, np.arange(every, every + canaries)])
    return Population(every + canaries, eligible, size, share, config.rounds)


def participated_among(
    config: RunConfig, trainers: Trainers, participation: Participation, rounds: int
) -> Participated:
    """What an accountant may assume of who takes part in the first so many rounds, here or in the extrapolated one."""
    population = population_among(config, trainers)
    if (larger := config.privacy.extrapolate) is not None:
        everybody, share = np.arange(larger.clients), larger.cohort / larger.clients
        population = Population(larger.clients, everybody, larger.cohort, share, config.rounds)
    return Participated(
        law=participation.law,
        share=population.share,
        clients=len(population.eligible),
        cohort=participation.expected(population) * (1 - participation.losses),
        rounds=rounds,
        most=participation.most(population, rounds),
        apart=participation.apart(population),
        examples=trainers.holders.sizes[trainers.eligible],
        to_come=config.rounds - rounds,
        canaries=config.privacy.canaries,
    )
