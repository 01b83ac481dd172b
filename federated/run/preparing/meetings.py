"""The meetings of a run whose transport is a protocol: who takes part in each round, which is known beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from federated.config.run import RunConfig
from federated.foundation.errors import BadInput
from federated.foundation.randomness import Purpose, generator
from federated.run.preparing.trainers import Trainers, population_among
from federated.transports import Meeting
from federated.trials import Parts

MOST_MEETINGS = 10_000
"""Rounds that are looked at beforehand."""


def meetings(config: RunConfig, trainers: Trainers, parts: Parts) -> Iterator[Meeting]:
    """Those of the first 10,000 rounds, without what is secret, and without canaries; a round may have none."""
    population = population_among(config, trainers)
    memory = parts.participation.init(population)
    numbers = partial(generator, config.seed, Purpose.COHORT)
    for done in range(min(config.rounds, MOST_MEETINGS)):
        memory, cohort = parts.participation.draw(memory, done, population, numbers)
        clients = cohort.clients < len(trainers.holders.indices)
        if clients.any():
            yield Meeting(config.seed, done, cohort.clients[clients], cohort.lost[clients])


def check_meetings(config: RunConfig, trainers: Trainers, parts: Parts) -> None:
    """Raise BadInput, naming seed and round, where the protocol cannot succeed in one of the rounds."""
    protocol = parts.transport.protocol
    if protocol is None:
        return
    for meeting in meetings(config, trainers, parts):
        try:
            protocol.check(parts.travelling.num_moving, meeting)
        except ValueError as error:
            raise BadInput(f"transport: {config.transport.label()}: seed {config.seed}, {error}") from error
