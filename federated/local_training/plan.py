"""The plan of a stack: who trains in which row, and which examples each local step takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from torch import Tensor

from federated.local_training.batches import Length, epoch_orders, length_of
from federated.local_training.terms import NO_TERMS, LocalTerms
from federated.local_training.work import LocalWork
from federated.randomness import Generators, Purpose


@dataclass(frozen=True, eq=False)
class Plan:
    """The batches of c clients, those with the most steps first, so that who still trains is always a prefix.

    positions: where each row's client stands in the cohort, int64 [c].
    examples: index of every example, int64 [c, S, B]; a short batch is filled up with the client's own.
    counts: real examples in each batch, int64 [c, S]; zero where the client has finished.
    active: clients that take each step, int [S], falling.
    """

    positions: np.ndarray
    examples: np.ndarray
    counts: np.ndarray
    active: list[int]

    def blocks(self, steps: int) -> list[range]:
        """The steps cut into runs of at most `steps`."""
        total = len(self.active)
        return [range(start, min(start + steps, total)) for start in range(0, total, steps)]


def planned(work: LocalWork, cohort: Sequence[int], done: int, terms: LocalTerms = NO_TERMS) -> Plan:
    """The plan of a round; the same whatever the order of the cohort."""
    local = work.local
    lengths = lengths_of(work, cohort, done, terms)
    sizes = [len(work.clients[client]) for client in cohort]
    steps = [length.num_steps(size, local.batch_size) for length, size in zip(lengths, sizes, strict=True)]
    positions = sorted(range(len(cohort)), key=lambda at: (-steps[at], -sizes[at], cohort[at]))
    width = min(local.batch_size or max(sizes), max(sizes))
    examples = np.empty((len(cohort), max(steps), width), np.int64)
    counts = np.zeros((len(cohort), max(steps)), np.int64)
    numbers = Generators(work.seed, Purpose.BATCHES, done, cohort)
    for row, at in enumerate(positions):
        counts[row, : steps[at]] = _counts(sizes[at], local.batch_size, steps[at])
        _fill(examples[row], work.clients[cohort[at]], local.batch_size, lengths[at], numbers[at])
    return Plan(np.array(positions), examples, counts, (counts > 0).sum(axis=0).tolist())


def lengths_of(work: LocalWork, cohort: Sequence[int], done: int, terms: LocalTerms) -> list[Length]:
    """How long each client of the cohort trains."""
    steps = [None] * len(cohort) if terms.steps is None else terms.steps.tolist()
    return [
        length_of(work.local, work.seed, done, client, own) for client, own in zip(cohort, steps, strict=True)
    ]


@lru_cache(maxsize=256)
def _counts(num_examples: int, batch_size: int | None, steps: int) -> np.ndarray:
    """Examples in each of a client's batches, int64 [steps]: the last of each epoch may be short."""
    size = min(batch_size or num_examples, num_examples)
    per_epoch = np.full(-(-num_examples // size), size)
    per_epoch[-1] = num_examples - size * (len(per_epoch) - 1)
    return np.resize(per_epoch, steps)


def _fill(
    examples: np.ndarray,
    held: np.ndarray,
    batch_size: int | None,
    length: Length,
    numbers: np.random.Generator,
) -> None:
    """Write one client's batches into its row, examples [S, B], and an example of its own wherever there is none."""
    width = examples.shape[1]
    size, step = min(batch_size or len(held), len(held)), 0
    for order in epoch_orders(numbers, held, batch_size, *length):
        batches = -(-len(order) // size)
        # One batch, or batches as wide as the row: either way a view.
        flat = examples[step : step + batches, :size].reshape(-1)
        flat[: len(order)] = order
        if len(order) < len(flat):
            flat[len(order) :] = held[0]
        step += batches
    if size < width:
        examples[:step, size:] = held[0]
    if step < len(examples):
        examples[step:] = held[0]


def gathered(column: Tensor, examples: Tensor) -> Tensor:
    """Some examples [c, n] of a column [N, ...] -> [c, n, ...]; several times as fast as indexing."""
    return column.index_select(0, examples.reshape(-1)).view(*examples.shape, *column.shape[1:])
