"""The local steps that a guarantee of single examples counts, client by client."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from torch import Tensor

from federated.algorithms import Algorithm
from federated.algorithms.local_terms import LocalTerms
from federated.config.local import LocalTraining
from federated.config.run import RunConfig
from federated.foundation.errors import OwnCodeFailed
from federated.foundation.randomness import Purpose, generator
from federated.local_training.by_example.poisson import expected_batch
from federated.local_training.steps.batches import longest
from federated.local_training.steps.plan import length_of_phase
from federated.participation import Memory, Participation
from federated.privacy import LocalSteps
from federated.run.preparing.trainers import Trainers, population_among

_KEPT = 32
"""Numbers of rounds whose counts are kept to be counted on from."""


class StepsSoFar:
    """Rounds -> the local steps of every client with examples in the first so many, by the draws of who is heard.

    Who takes part when depends on no data and is known to everybody, so what counts is not how often a client could
    have taken part but how often it did.
    """

    def __init__(
        self,
        config: RunConfig,
        trainers: Trainers,
        participation: Participation,
        algorithm: Algorithm,
        parameters: Tensor,
    ) -> None:
        """parameters: the trainable ones before the first round, [T]."""
        self._population, self._participation = population_among(config, trainers), participation
        self._numbers = partial(generator, config.seed, Purpose.COHORT)
        sizes = trainers.holders.sizes[trainers.eligible].tolist()
        self._a_round = most_steps(algorithm, trainers.local, parameters, trainers.eligible.tolist(), sizes)
        batch_size = trainers.local.batch_size
        self._shares = np.array([expected_batch(size, batch_size) / size for size in sizes])
        self._known: dict[int, tuple[Memory, np.ndarray]] = {
            0: (participation.init(self._population), np.zeros(self._population.num_clients, np.int64))
        }

    def __call__(self, rounds: int) -> LocalSteps:
        turns = self._turns(rounds)[self._population.eligible]
        return LocalSteps(self._shares, self._a_round * turns, turns)

    def _turns(self, rounds: int) -> np.ndarray:
        """The rounds in which each client was heard, int64 [clients]; counted on from the last ones that are known."""
        done = max(known for known in self._known if known <= rounds)
        memory, before = self._known[done]
        turns = before.copy()
        for at in range(done, rounds):
            memory, cohort = self._participation.draw(memory, at, self._population, self._numbers)
            turns[cohort.heard] += 1
        first = self._known[0]
        if len(self._known) > _KEPT:
            self._known = {0: first}
        self._known[rounds] = (memory, turns)
        return turns


def most_steps(
    algorithm: Algorithm,
    local: LocalTraining,
    parameters: Tensor,
    clients: Sequence[int],
    sizes: Sequence[int],
) -> np.ndarray:
    """The most steps of each client in a round, int64 [c], those of all phases; they depend on its size alone."""
    own, state = algorithm.client.init(1, len(parameters)), algorithm.init(parameters.clone())
    return _steps(local, sizes, algorithm.terms(state, list(clients[:1]), own))


def check_counted(
    algorithm: Algorithm,
    local: LocalTraining,
    parameters: Tensor,
    clients: Sequence[int],
    sizes: Sequence[int],
    terms: LocalTerms,
) -> None:
    """Raise OwnCodeFailed where an algorithm's terms ask for more steps than the guarantee counts with."""
    counted, asked = most_steps(algorithm, local, parameters, clients, sizes), _steps(local, sizes, terms)
    if (more := np.flatnonzero(asked > counted)).size:
        at = more[0]
        raise OwnCodeFailed(
            f"algorithm: its terms ask client {clients[at]} for {asked[at]} steps in a round, and the privacy "
            f"mechanism counts with {counted[at]}, those of the first round; leave them as they are there"
        )


def _steps(local: LocalTraining, sizes: Sequence[int], terms: LocalTerms) -> np.ndarray:
    phases = terms.phases or (None,)
    if terms.steps is not None:
        return np.full(len(sizes), int(terms.steps.max()) * len(phases), np.int64)
    lengths = [length_of_phase(phase) or longest(local) for phase in phases]
    return np.array(
        [sum(each.num_steps(size, local.batch_size) for each in lengths) for size in sizes], np.int64
    )
