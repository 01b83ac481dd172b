"""A cohort cut into parts that are trained side by side: one thread each, all on the same data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor

from federated.algorithms.local_terms import NO_TERMS, LocalTerms
from federated.local_training.steps.updates import LocalTrainer, PartTrainer, Slots, Updates, received_by
from federated.local_training.steps.work import LocalWork
from federated.machine.queueing import works_for_runs
from federated.machine.torch_threads import set_threads, torch_threads

T = TypeVar("T")
R = TypeVar("R")

Part = tuple[Tensor, Sequence[int], LocalTerms, Slots]
"""What some clients received, who they are, their terms, and where their results go."""


def side_by_side(
    work: LocalWork,
    make: Callable[[], PartTrainer],
    threads: int,
    clients_a_part: int,
    *,
    loop: bool = False,
) -> LocalTrainer:
    """A trainer of cohorts: parts of about `clients_a_part`, each taken by whichever thread is free.

    How the cohort is cut does not depend on the threads, so their number changes nothing in the results. Torch's
    kernels let go of the interpreter's lock, so threads are enough: nothing is copied or sent. Each has one thread of
    torch, because several round otherwise in some kernels; a trainer may take more where they do not (`teams`).
    make: a new trainer, with its own scratch space, for each thread. loop: it knows the terms of the loop alone.
    """
    trainers: list[PartTrainer] = []

    def train(received: Tensor, cohort: Sequence[int], done: int, terms: LocalTerms = NO_TERMS) -> Updates:
        if len(terms.phases) > 1:
            return _in_phases(train, received, cohort, done, terms)
        if (terms.contrast is not None or terms.own_steps is not None) and not loop:
            raise ValueError(
                "a contrast of representations and steps of an algorithm's own are for the loop alone"
            )
        updates = _empty(work, received, cohort, terms)
        parts = dealt([len(work.clients[client]) for client in cohort], cohort, clients_a_part)
        num_threads = min(threads if received.is_cpu else 1, len(parts))
        trainers.extend(make() for _ in range(len(trainers), num_threads))
        # Threads may share a list's iterator: a call of next() is one step of the interpreter.
        left = iter([_part(received, cohort, terms, updates, part) for part in parts])
        _run([_Take(trainer, done, left) for trainer in trainers[:num_threads]])
        return updates

    return train


def _in_phases(
    train: LocalTrainer, received: Tensor, cohort: Sequence[int], done: int, terms: LocalTerms
) -> Updates:
    """One phase after another, each from where the one before ended."""
    updates = train(received, cohort, done, replace(terms, phases=terms.phases[:1]))
    for phase in terms.phases[1:]:
        before, counted = updates.deltas, updates.bounded
        updates = train(received + before, cohort, done, replace(terms, phases=(phase,)))
        updates = updates._replace(
            deltas=updates.deltas.add_(before), bounded=_added(counted, updates.bounded)
        )
    return updates


def _added(ones: Tensor | None, others: Tensor | None) -> Tensor | None:
    return None if ones is None or others is None else ones + others


def each_in_threads(function: Callable[[T], R], items: Sequence[T], threads: int) -> list[R]:
    """The function of every item, in their order, by as many threads, of which each has one thread of torch."""
    results: dict[int, R] = {}
    left = iter(list(enumerate(items)))

    def take() -> None:
        with _none_left_on_error(left):
            for at, item in left:
                results[at] = function(item)

    _run([take] * max(1, min(threads, len(items))))
    return [results[at] for at in range(len(items))]


def dealt(sizes: Sequence[int], clients: Sequence[int], clients_a_part: int) -> list[list[int]]:
    """Positions of the clients, in parts of about equal work, whatever order the clients come in.

    The largest first, each to the part with the least work so far. No part has more than `clients_a_part`.
    """
    num_parts = -(-len(sizes) // clients_a_part)
    most = -(-len(sizes) // num_parts)
    parts: list[list[int]] = [[] for _ in range(num_parts)]
    loads = [0.0] * num_parts
    for at in sorted(range(len(sizes)), key=lambda at: (-sizes[at], clients[at])):
        emptiest = loads.index(min(loads))
        parts[emptiest].append(at)
        loads[emptiest] = loads[emptiest] + sizes[at] if len(parts[emptiest]) < most else float("inf")
    return parts


class _Take:
    """One thread's work: a part, and the next, until none is left."""

    def __init__(self, trainer: PartTrainer, done: int, left: Iterator[Part]) -> None:
        self._trainer, self._done, self._left = trainer, done, left

    def __call__(self) -> None:
        with torch.enable_grad(), _none_left_on_error(self._left):
            for received, clients, terms, slots in self._left:
                self._trainer(received, clients, self._done, terms, slots)


@contextmanager
def _none_left_on_error(left: Iterator[object]) -> Iterator[None]:
    """After an error here, the other threads finish the part that they have, and find no other."""
    try:
        yield
    except BaseException:
        for _ in left:
            pass
        raise


def _run(takes: Sequence[Callable[[], None]]) -> None:
    with torch_threads(1):
        if len(takes) == 1:
            takes[0]()
            return
        futures = [_pool(len(takes) - 1).submit(take) for take in takes[1:]]
        try:
            takes[0]()
        finally:
            errors = [future.exception() for future in futures]
    for error in filter(None, errors):
        raise error


@lru_cache(maxsize=1)
def _pool(num_threads: int) -> ThreadPoolExecutor:
    """The threads, kept from round to round."""
    return ThreadPoolExecutor(num_threads, "local-training", initializer=_begin)


def _begin() -> None:
    set_threads(1)
    works_for_runs()


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not live on in a forked process


def _empty(work: LocalWork, received: Tensor, cohort: Sequence[int], terms: LocalTerms) -> Updates:
    steps = terms.own_steps
    return Updates(
        deltas=received.new_empty(len(cohort), received.shape[-1]),
        num_examples=torch.tensor([len(work.clients[client]) for client in cohort]),
        client_ids=torch.tensor(cohort),
        losses=torch.empty(len(cohort)),
        kept=None if steps is None else {name: torch.empty_like(rows) for name, rows in steps.own.items()},
        bounded=None if work.per_example is None else torch.zeros(len(cohort), 2, dtype=torch.int64),
    )


def _part(
    received: Tensor, cohort: Sequence[int], terms: LocalTerms, updates: Updates, at: Sequence[int]
) -> Part:
    return received_by(received, at), [cohort[each] for each in at], terms.of(at), _slots(updates, at)


def _slots(updates: Updates, part: Sequence[int]) -> Slots:
    return Slots(updates.deltas, updates.losses, torch.tensor(part), updates.kept or {}, updates.bounded)
