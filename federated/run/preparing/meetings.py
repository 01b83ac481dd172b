"""The meetings of a run whose transport is a protocol: who takes part in each round, which is known beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from federated.config.run import RunConfig
from federated.foundation.errors import BadInput
from federated.foundation.randomness import Purpose, generator
from federated.participation import Cohort, SamplingLaw
from federated.run.preparing.trainers import Trainers, population_among
from federated.transports import Meeting, SumTooLarge, TooFewLeft
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
            yield meeting_of(config, trainers, done, Cohort(cohort.clients[clients], cohort.lost[clients]))


def meeting_of(config: RunConfig, trainers: Trainers, done: int, cohort: Cohort) -> Meeting:
    """The meeting of a cohort without canaries in the round after `done` rounds, without what is secret."""
    weights = trainers.holders.sizes[cohort.clients] if config.cohort.weighting == "examples" else None
    return Meeting(config.seed, done, cohort.clients, cohort.lost, weights=weights)


def gives_up(parts: Parts) -> bool:
    """Whether a round can be lost because its sum stays closed."""
    protocol = parts.transport.protocol
    return protocol is not None and protocol.given_up is not None


def why_lost(parts: Parts, meeting: Meeting) -> str:
    """Why the sum of a round stays closed, so that the round is lost; "" where it is opened, or there is no protocol.

    Raises ValueError where a run may not have such a round.
    """
    protocol, privacy = parts.transport.protocol, parts.privacy
    if protocol is None or not len(meeting.clients):
        return ""
    try:
        protocol.check(parts.travelling.num_moving, meeting)
    except TooFewLeft as error:
        if protocol.given_up is None:
            raise
        hidden = privacy.amplifies and parts.participation.law is SamplingLaw.POISSON
        if privacy.guarantee is not None and hidden:
            raise ValueError(
                f"{error}; and epsilon rests on that nobody knows who takes part, which a round that is lost for want "
                "of one client would tell"
            ) from error
        return str(error)
    return ""


def lost_rounds(config: RunConfig, trainers: Trainers, parts: Parts) -> list[str]:
    """Why each of the rounds that will be lost is, of those looked at beforehand. Raises ValueError as `why_lost`; of
    several rounds whose sum is too large, of the one that leaves the fewest bits a number, which then fit all."""
    lost, too_large = list[str](), list[SumTooLarge]()
    for meeting in meetings(config, trainers, parts):
        try:
            lost.append(why_lost(parts, meeting))
        except SumTooLarge as error:
            too_large.append(error)
    if too_large:
        raise min(too_large, key=lambda error: error.fit)
    return [why for why in lost if why]


def check_meetings(config: RunConfig, trainers: Trainers, parts: Parts) -> None:
    """Raise BadInput, naming seed and round, where the protocol cannot succeed in any, or one may not be lost."""
    if parts.transport.protocol is None:
        return
    what = f"transport: {config.transport.label()}: seed {config.seed}, "
    try:
        lost = lost_rounds(config, trainers, parts)
    except ValueError as error:
        raise BadInput(f"{what}{error}") from error
    if lost and len(lost) == sum(1 for _ in meetings(config, trainers, parts)):
        raise BadInput(f"{what}{lost[0]}; so it is in every round")
