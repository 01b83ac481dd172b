"""The plan of a stack: who trains in which row, and which examples each local step takes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from federated.algorithms.local_terms import NO_TERMS, LocalTerms, Phase
from federated.foundation.randomness import Generators, Purpose
from federated.local_training.steps.batches import Length, amount_of, epoch_orders, length_of, placed
from federated.local_training.steps.work import LocalWork


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

    def on(self, device: torch.device) -> PlanThere:
        """The examples and their counts on a device, all at once, so that no step waits for a copy."""
        return PlanThere(placed(self.examples, device), placed(self.counts, device))

    def blocks(self, steps: int) -> list[range]:
        """The steps cut into runs of at most `steps`."""
        total = len(self.active)
        return [range(start, min(start + steps, total)) for start in range(0, total, steps)]


class PlanThere(NamedTuple):
    """Of a plan, on the device of the data: examples int64 [c, S, B], counts int64 [c, S]."""

    examples: Tensor
    counts: Tensor


class Extent(NamedTuple):
    """The size of a plan: local steps S, and examples B in a batch."""

    steps: int
    width: int


def planned(
    work: LocalWork,
    cohort: Sequence[int],
    done: int,
    terms: LocalTerms = NO_TERMS,
    extent: Extent = Extent(0, 0),  # noqa: B008 - a value
) -> Plan:
    """The plan of a round; the same whatever the order of the cohort. extent: the least that it is to have."""
    local = work.local
    lengths = lengths_of(work, cohort, done, terms)
    sizes = [len(work.clients[client]) for client in cohort]
    steps = [length.num_steps(size, local.batch_size) for length, size in zip(lengths, sizes, strict=True)]
    positions = sorted(range(len(cohort)), key=lambda at: (-steps[at], -sizes[at], cohort[at]))
    needed = Extent(max(steps), min(local.batch_size or max(sizes), max(sizes)))
    most, width = map(max, needed, extent)
    examples = np.empty((len(cohort), most, width), np.int64)
    clients = [cohort[at] for at in positions]
    in_order = [lengths[at] for at in positions]
    _write(examples.reshape(len(cohort), -1), work, clients, in_order, width, (done, terms.stream))
    counts = np.zeros(examples.shape[:2], np.int64)
    first = 0
    for (own_steps, size), alike in groupby(positions, lambda at: (steps[at], sizes[at])):
        last = first + len(list(alike))
        counts[first:last, :own_steps] = _counts(size, local.batch_size, own_steps)
        first = last
    return Plan(np.array(positions), examples, counts, (counts > 0).sum(axis=0).tolist())


def _write(
    rows: np.ndarray,
    work: LocalWork,
    clients: Sequence[int],
    lengths: Sequence[Length],
    width: int,
    key: tuple[int, int],
) -> None:
    """Write the batches of clients into their rows, int64 [c, S x B]. width: B. key: rounds done, and the stream."""
    size, like = work.local.batch_size, _first_alike(work, clients, lengths)
    drawn = [row for row, same in enumerate(like) if same == row]
    for row, numbers in zip(drawn, _generators(work, [clients[row] for row in drawn], *key), strict=True):
        held = work.clients[clients[row]]
        _fill(rows[row], width, held, size, epoch_orders(numbers, held, size, *lengths[row]))
    for row, same in enumerate(like):
        if same != row:
            apart = work.clients[clients[row]][0] - work.clients[clients[same]][0]
            np.add(rows[same], apart, out=rows[row])


def _first_alike(work: LocalWork, clients: Sequence[int], lengths: Sequence[Length]) -> list[int]:
    """For each row the first whose batches are the same, but for where the data of its run begin; mostly itself.

    Runs of one seed that hold the same examples of a client, such as coalitions, draw the same orders of them.
    """
    if work.origins is None:
        return list(range(len(clients)))
    first, found = dict[Hashable, int](), list[int]()
    for row, (client, length) in enumerate(zip(clients, lengths, strict=True)):
        held = work.clients[client]
        found.append(first.setdefault((work.origins[client], length, (held - held[:1]).tobytes()), row))
    return found


def lengths_of(work: LocalWork, cohort: Sequence[int], done: int, terms: LocalTerms) -> list[Length]:
    """The length of training of each client in the cohort; of several phases, that of the study's `local`."""
    if terms.steps is None and (length := length_of_phase(terms.phase)) is not None:
        return [length] * len(cohort)
    if terms.steps is None and cohort and isinstance(amount_of(work.local), int):
        return [length_of(work.local, work.seed, done, cohort[0], None)] * len(cohort)
    steps = [None] * len(cohort) if terms.steps is None else terms.steps.tolist()
    origins = [work.origin(client) for client in cohort]
    return [
        length_of(work.local, seed, done, client, own)
        for (seed, client), own in zip(origins, steps, strict=True)
    ]


def _generators(
    work: LocalWork, clients: Sequence[int], done: int, stream: int
) -> Iterable[np.random.Generator]:
    """The generators of the clients' batches; those of one run are seeded all at once."""
    if work.origins is None:
        return Generators(work.seed, Purpose.BATCHES, done, clients, stream)
    rows: dict[int, list[int]] = {}
    for row, client in enumerate(clients):
        rows.setdefault(work.origins[client].seed, []).append(row)
    made: dict[int, np.random.Generator] = {}
    for seed, own in rows.items():
        numbers = [work.origins[clients[row]].client for row in own]
        made |= zip(own, Generators(seed, Purpose.BATCHES, done, numbers, stream), strict=True)
    return [made[row] for row in range(len(clients))]


def length_of_phase(phase: Phase | None) -> Length | None:
    """The length that a phase states."""
    if phase is None or (phase.epochs is None and phase.steps is None):
        return None
    return Length(phase.epochs or 1, phase.steps)


@lru_cache(maxsize=256)
def _counts(num_examples: int, batch_size: int | None, steps: int) -> np.ndarray:
    """Examples in each of a client's batches, int64 [steps]: the last of each epoch may be short."""
    size = min(batch_size or num_examples, num_examples)
    per_epoch = np.full(-(-num_examples // size), size)
    per_epoch[-1] = num_examples - size * (len(per_epoch) - 1)
    return np.resize(per_epoch, steps)


def _fill(
    row: np.ndarray, width: int, held: np.ndarray, batch_size: int | None, orders: Iterable[np.ndarray]
) -> None:
    """Write one client's batches into its row [S x width], and an example of its own wherever there is none.

    orders: of its epochs. Where its batches are narrower than the row's, an epoch is one batch.
    """
    size, start = min(batch_size or len(held), len(held)), 0
    for order in orders:
        stop = start + len(order)
        end = start - (-len(order) // size) * width
        row[start:stop] = order
        if stop < end:
            row[stop:end] = held[0]
        start = end
    if start < len(row):
        row[start:] = held[0]


def gathered(column: Tensor, examples: Tensor) -> Tensor:
    """Some examples [c, n] of a column [N, ...] -> [c, n, ...]; several times as fast as indexing."""
    return column.index_select(0, examples.reshape(-1)).view(*examples.shape, *column.shape[1:])
