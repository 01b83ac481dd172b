"""The interface of participation: the cohort of each round, and the law by which it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

import numpy as np
from torch import Tensor

Memory = dict[str, Tensor]
"""What the server remembers about participation from round to round. Empty for most."""
Numbers = Callable[..., np.random.Generator]
"""Key -> its random numbers: `numbers(done)` are those of the round after `done` rounds, `numbers(done, 1)` more."""


class SamplingLaw(Enum):
    """The law of a cohort: what may be assumed of who takes part."""

    FIXED_SIZE = "every set of so many eligible clients alike, without replacement"
    POISSON = "each eligible client on its own, with the same probability"
    OTHER = "neither"


class Population(NamedTuple):
    """The clients from which a cohort is drawn.

    num_clients: all of them. eligible: those with training examples, int64, rising. size: how many are wanted in a
    round, at most all eligible ones. share: the same over the eligible ones, or `cohort.fraction` where that is stated.
    rounds: of the run.
    """

    num_clients: int
    eligible: np.ndarray
    size: int
    share: float
    rounds: int

    @property
    def holds_examples(self) -> np.ndarray:
        """Whether each client is eligible, bool [num_clients]."""
        found = np.zeros(self.num_clients, bool)
        found[self.eligible] = True
        return found


class Cohort(NamedTuple):
    """The clients of a round.

    clients: int64 [C], rising; each is sent the model. lost: bool [C], of those whose update never arrives; they
    keep the model that they received and nothing of their training.
    """

    clients: np.ndarray
    lost: np.ndarray

    @property
    def heard(self) -> np.ndarray:
        """The clients whose updates arrive, int64, rising."""
        found: np.ndarray = self.clients[~self.lost]
        return found


def all_heard(clients: np.ndarray) -> Cohort:
    """The cohort of these clients, in any order, of whom none is lost."""
    return Cohort(np.sort(clients), np.zeros(len(clients), bool))


class Participation(NamedTuple):
    """A mechanism, pure.

    draw: (memory, rounds done, population, numbers) -> (new memory, the cohort, which may be empty).
    law: of its cohorts. expected: population -> mean number of clients in a round.
    init: population -> the memory before the first round.
    losses: the expected share of a cohort that is never heard.
    most: (population, rounds) -> how many of the first so many rounds one client can take part in, at most.
    apart: population -> the fewest rounds from one turn of a client to its next one.
    """

    draw: Callable[[Memory, int, Population, Numbers], tuple[Memory, Cohort]]
    law: SamplingLaw
    expected: Callable[[Population], float]
    init: Callable[[Population], Memory] = lambda population: {}
    losses: float = 0.0
    most: Callable[[Population, int], int] = lambda population, rounds: rounds
    apart: Callable[[Population], int] = lambda population: 1
