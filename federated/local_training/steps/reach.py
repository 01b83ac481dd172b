"""The distance that the local steps of a round can move a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from federated.algorithms.local_terms import LocalTerms
from federated.local_training.steps.plan import lengths_of
from federated.local_training.steps.work import LocalWork


def reach(work: LocalWork, cohort: Sequence[int], done: int, terms: LocalTerms) -> np.ndarray:
    """The distance that each client would move along a constant gradient of norm one in a round, float64 [C].

    Its learning rate times its steps K; with heavy-ball momentum r, each of them counts for all that follow:
    (K - r (1 - r^K) / (1 - r)) / (1 - r), as in Wang et al. 2020, "Tackling the Objective Inconsistency Problem in
    Heterogeneous Federated Optimization", section 4.2. Weight decay and the proximal term are part of the gradient.
    Adam moves by its rate in each step along such a gradient, and by about as much along any other.
    """
    local, lengths = work.local, lengths_of(work, cohort, done, terms)
    steps = np.array(
        [
            length.num_steps(len(work.clients[client]), local.batch_size)
            for length, client in zip(lengths, cohort, strict=True)
        ],
        np.float64,
    )
    rate = local.learning_rate * local.schedule.build()(done, work.rounds)
    rates = rate if terms.rate_factors is None else rate * terms.rate_factors
    r = local.momentum
    counted: np.ndarray = rates * (steps - r * (1 - r**steps) / (1 - r)) / (1 - r)
    return counted
