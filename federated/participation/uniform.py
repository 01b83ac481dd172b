"""Cohorts of a fixed size."""

from __future__ import annotations

from federated.participation.participation import (
    Cohort,
    Memory,
    Numbers,
    Participation,
    Population,
    SamplingLaw,
    all_heard,
)


def uniform() -> Participation:
    """As many clients in every round as the cohort has, without replacement, each set of them alike.

    The draw is one shuffle of all clients, of which those with examples are taken from the front: arms whose
    partitions leave different clients empty still share nearly all of their cohorts.
    """

    def draw(memory: Memory, done: int, population: Population, numbers: Numbers) -> tuple[Memory, Cohort]:
        order = numbers(done).permutation(population.num_clients)
        if len(population.eligible) < population.num_clients:
            order = order[population.holds_examples[order]]
        return memory, all_heard(order[: population.size])

    return Participation(draw, SamplingLaw.FIXED_SIZE, lambda population: float(population.size))
