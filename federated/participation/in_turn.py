"""Clients in turn."""

from __future__ import annotations

import numpy as np

from federated.participation.participation import (
    Cohort,
    Memory,
    Numbers,
    Participation,
    Population,
    SamplingLaw,
    all_heard,
)

_ORDER = (0, 0)  # a round's own key is its number alone


def in_turn(reach_all: bool = False) -> Participation:
    """All clients with examples take turns in one random order, as many in a round as the cohort has.

    Between two turns of a client lie as many rounds as all others need.

    reach_all: where the rounds are too few to reach every client, a round has as many more as give each one turn, which
        is what training without a server does.
    """

    def turns_of(population: Population) -> int:
        wanted = population.rounds * population.size
        return max(wanted, len(population.eligible)) if reach_all else wanted

    def draw(memory: Memory, done: int, population: Population, numbers: Numbers) -> tuple[Memory, Cohort]:
        order, turns = numbers(*_ORDER).permutation(population.eligible), turns_of(population)
        first, last = (turns * at // population.rounds for at in (done, done + 1))
        return memory, all_heard(order[np.arange(first, last) % len(order)])

    def most(population: Population, rounds: int) -> int:
        return -(-(turns_of(population) * rounds // population.rounds) // len(population.eligible))

    def apart(population: Population) -> int:
        longest = -(-turns_of(population) // population.rounds)
        return max(1, len(population.eligible) // longest)

    return Participation(
        draw,
        SamplingLaw.OTHER,
        lambda population: turns_of(population) / population.rounds,
        most=most,
        apart=apart,
    )
