"""The reach of the local steps of a round: their rate, their number, and how often each counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from federated.algorithms.local_terms import LocalTerms
from federated.local_training.steps.plan import lengths_of
from federated.local_training.steps.work import LocalWork


class Reach(NamedTuple):
    """The steps of some clients in a round, float64 [C] each.

    rates: of their steps. steps: their number K. counted: the distance that each client would move along a constant
    gradient of norm one with a rate of one: K, and with heavy-ball momentum r, of which each step goes on in all that
    follow, (K - r (1 - r^K) / (1 - r)) / (1 - r), as in Wang et al. 2020, "Tackling the Objective Inconsistency Problem
    in Heterogeneous Federated Optimization", section 4.2. Weight decay and the proximal term are part of the gradient.
    Adam moves by its rate in each step along such a gradient, and by about as much along any other.
    """

    rates: np.ndarray
    steps: np.ndarray
    counted: np.ndarray


def reach(work: LocalWork, cohort: Sequence[int], done: int, terms: LocalTerms) -> Reach:
    """The reach of the clients' steps in the round after `done` rounds."""
    local, lengths = work.local, lengths_of(work, cohort, done, terms)
    steps = np.array(
        [
            length.num_steps(len(work.clients[client]), local.batch_size)
            for length, client in zip(lengths, cohort, strict=True)
        ],
        np.float64,
    )
    rate = local.learning_rate * local.schedule.build()(done, work.rounds)
    factors = np.ones(len(cohort)) if terms.rate_factors is None else terms.rate_factors
    r = local.momentum
    return Reach(rate * factors, steps, (steps - r * (1 - r**steps) / (1 - r)) / (1 - r))
