"""Several trainers side by side, each with a part of the cohort: one thread each, all on the same data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import Tensor

from federated.local_training.terms import NO_TERMS, LocalTerms
from federated.local_training.updates import LocalTrainer, PartTrainer, Slots, Updates
from federated.local_training.work import LocalWork


def side_by_side(work: LocalWork, make: Callable[[], PartTrainer], workers: int) -> LocalTrainer:
    """A trainer of cohorts, which deals the clients out to `workers` trainers.

    Torch's kernels let go of the interpreter's lock, so threads are enough: nothing is copied or sent. With
    several, each has one thread of torch: two threads inside the small products of local training wait
    for each other more than they work. make: a new trainer, with its own scratch space.
    """
    trainers: list[PartTrainer] = []

    def train(received: Tensor, cohort: Sequence[int], done: int, terms: LocalTerms = NO_TERMS) -> Updates:
        updates = _empty(work, received, cohort)
        parts = dealt([len(work.clients[client]) for client in cohort], workers if received.is_cpu else 1)
        trainers.extend(make() for _ in range(len(trainers), len(parts)))
        jobs = [
            (trainer, received, [cohort[at] for at in part], done, terms.of(part), _slots(updates, part))
            for trainer, part in zip(trainers, parts, strict=False)
        ]
        _run(jobs)
        return updates

    return train


def dealt(sizes: Sequence[int], num_parts: int) -> list[list[int]]:
    """Positions of the clients in parts of about equal work: the largest first, each to the emptiest part."""
    parts: list[list[int]] = [[] for _ in range(min(num_parts, len(sizes)))]
    loads = [0] * len(parts)
    for at in sorted(range(len(sizes)), key=lambda at: -sizes[at]):
        emptiest = loads.index(min(loads))
        parts[emptiest].append(at)
        loads[emptiest] += sizes[at]
    return parts


_Job = tuple[PartTrainer, Tensor, Sequence[int], int, LocalTerms, Slots]


def _run(jobs: Sequence[_Job]) -> None:
    if len(jobs) == 1:
        _do(jobs[0])
        return
    with _one_thread_each():
        futures = [_pool(len(jobs) - 1).submit(_do, job) for job in jobs[1:]]
        try:
            _do(jobs[0])
        finally:
            errors = [future.exception() for future in futures]
    for error in filter(None, errors):
        raise error


def _do(job: _Job) -> None:
    trainer, received, clients, done, terms, slots = job
    with torch.enable_grad():
        trainer(received, clients, done, terms, slots)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def _pool(num_threads: int) -> ThreadPoolExecutor:
    """The threads, kept from round to round."""
    return ThreadPoolExecutor(num_threads, "local-training", initializer=torch.set_num_threads, initargs=(1,))


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not live on in a forked process


def _empty(work: LocalWork, received: Tensor, cohort: Sequence[int]) -> Updates:
    return Updates(
        deltas=received.new_empty(len(cohort), received.numel()),
        num_examples=torch.tensor([len(work.clients[client]) for client in cohort]),
        client_ids=torch.tensor(cohort),
        losses=torch.empty(len(cohort)),
    )


def _slots(updates: Updates, part: Sequence[int]) -> Slots:
    return Slots(updates.deltas, updates.losses, torch.tensor(part, device=updates.deltas.device))
