"""Cohorts of independent clients, of a size that varies."""

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


def poisson() -> Participation:
    """Each client with examples on its own, with probability `cohort.fraction`, or `cohort.size` over their number.

    The sampling that accountants of differential privacy assume (Abadi et al. 2016, "Deep Learning with Differential
    Privacy", section 3.1; Mironov et al. 2019, "Renyi Differential Privacy of the Sampled Gaussian Mechanism"). A round
    without clients changes nothing and costs nothing. A client's draw depends on no other client.
    """

    def draw(memory: Memory, done: int, population: Population, numbers: Numbers) -> tuple[Memory, Cohort]:
        drawn = numbers(done).random(population.num_clients)[population.eligible] < population.share
        return memory, all_heard(population.eligible[drawn])

    return Participation(
        draw, SamplingLaw.POISSON, lambda population: population.share * len(population.eligible)
    )
