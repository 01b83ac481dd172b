"""Clients that fail before they send."""

from __future__ import annotations

from federated.participation.participation import Cohort, Memory, Numbers, Participation, Population

_LOSSES = 1  # a second key: who takes part is the first alone


def unreliable(inner: Participation, share: float) -> Participation:
    """Clients drawn by `inner`, of which each fails on its own with probability `share` after it received the model.

    It is sent the model, which counts, and sends nothing; the mean is over those that are heard. The client keeps the
    model that it received and loses what it trained, as one does that crashed in training. PFLlib calls the share the
    drop rate of clients. Raises ValueError where `inner` loses clients itself.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must be between 0 and 1, got {share}")
    if inner.losses:
        raise ValueError("inner must not be unreliable itself: state one share")

    def draw(memory: Memory, done: int, population: Population, numbers: Numbers) -> tuple[Memory, Cohort]:
        after, cohort = inner.draw(memory, done, population, numbers)
        lost = numbers(done, _LOSSES).random(population.num_clients) < share
        return after, Cohort(cohort.clients, cohort.lost | lost[cohort.clients])

    return inner._replace(draw=draw, losses=share)
