"""Poisson batches: every example is in a step's batch on its own, all with the same probability."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from federated.algorithms.local_terms import LocalTerms
from federated.foundation.randomness import Purpose, generator, key_of
from federated.foundation.secure_numbers import secure_generator
from federated.local_training.steps.batches import Length, placed
from federated.local_training.steps.plan import PlanThere, lengths_of
from federated.local_training.steps.work import LocalWork


def expected_batch(num_examples: int, batch_size: int | None) -> int:
    """The mean number of examples in a step of a client; every example is in it with this number over all of them."""
    return min(batch_size or num_examples, num_examples)


def poisson_batches(
    work: LocalWork, done: int, client: int, length: Length, stream: int = 0
) -> Iterator[np.ndarray]:
    """The examples of each local step of a client, int64 [b] each, of which some may be empty; stream: `key_of`.

    As many steps as epochs of whole batches would have. How many examples a batch has is drawn first, and then which:
    the law is that of a coin for each example, without a number for each. Raises ValueError where the client has none.
    """
    held = work.clients[client]
    if not len(held):
        raise ValueError("a client without training examples has no batches")
    expected = expected_batch(len(held), work.local.batch_size)
    if (
        work.per_example is not None and work.per_example.secure
    ):  # the guarantee counts on batches being secret
        numbers = secure_generator()
    else:
        numbers = generator(work.seed, Purpose.BATCHES, *key_of(done, stream), client)
    for _ in range(length.num_steps(len(held), work.local.batch_size)):
        if expected == len(held):
            yield held
        else:
            count = numbers.binomial(len(held), expected / len(held))
            yield held[numbers.choice(len(held), count, replace=False, shuffle=False)]


@dataclass(frozen=True, eq=False)
class PoissonPlan:
    """The batches of c clients, those with the most steps first, so that who still trains is always a prefix.

    positions: where each row's client stands in the cohort, int64 [c].
    examples: index of every example, int64 [c, S, B]; a batch is filled up with the client's first example.
    counts: examples in each batch, int64 [c, S]. active: clients that take each step, int [S], falling.
    steps: of each client, int64 [c]. expected: the mean number of examples in each of them, int64 [c].
    """

    positions: np.ndarray
    examples: np.ndarray
    counts: np.ndarray
    active: list[int]
    steps: np.ndarray
    expected: np.ndarray

    def on(self, device: torch.device) -> PlanThere:
        """The examples and their counts on a device, all at once, so that no step waits for a copy."""
        return PlanThere(placed(self.examples, device), placed(self.counts, device))


def poisson_plan(work: LocalWork, cohort: Sequence[int], done: int, terms: LocalTerms) -> PoissonPlan:
    """The plan of a round; the same whatever the order of the cohort."""
    lengths, sizes = (
        lengths_of(work, cohort, done, terms),
        [len(work.clients[client]) for client in cohort],
    )
    batches = [
        list(poisson_batches(work, done, client, length, terms.stream))
        for client, length in zip(cohort, lengths, strict=True)
    ]
    positions = sorted(range(len(cohort)), key=lambda at: (-len(batches[at]), -sizes[at], cohort[at]))
    steps = np.array([len(batches[at]) for at in positions])
    widest = max(1, max(len(batch) for own in batches for batch in own))
    examples = np.empty((len(cohort), max(steps), widest), np.int64)
    counts = np.zeros(examples.shape[:2], np.int64)
    for row, at in enumerate(positions):
        examples[row] = work.clients[cohort[at]][0]
        for step, batch in enumerate(batches[at]):
            examples[row, step, : len(batch)], counts[row, step] = batch, len(batch)
    active = (steps[:, None] > np.arange(max(steps))).sum(axis=0).tolist()
    expected = np.array([expected_batch(sizes[at], work.local.batch_size) for at in positions])
    return PoissonPlan(np.array(positions), examples, counts, active, steps, expected)
