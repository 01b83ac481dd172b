"""One engine for the clients of several runs: their examples side by side, their models as rows."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from federated.algorithms.local_terms import LocalTerms
from federated.local_training.engine import local_trainer
from federated.local_training.steps.updates import LocalTrainer, Updates
from federated.local_training.steps.work import LocalWork, Origin
from federated.local_training.together.ask import Ask, Member
from federated.user_code.permission import is_fault

logger = logging.getLogger(__name__)


class Joint(NamedTuple):
    """The engine of several runs. first: of each member, by its `id`, the number of its first client."""

    members: Sequence[Member]
    work: LocalWork
    first: Mapping[int, int]
    train: LocalTrainer

    def has(self, ask: Ask) -> bool:
        """Whether the run that asks is one of them."""
        return id(ask.member) in self.first

    def cohort(self, asks: Sequence[Ask]) -> list[int]:
        """The clients of all asks, by their numbers in the whole."""
        return [self.first[id(ask.member)] + client for ask in asks for client in ask.cohort]


def joint_work(works: Sequence[LocalWork]) -> LocalWork:
    """The work of all runs: every client with its own examples, and with the key of its random numbers.

    Data that the runs share are not copied; otherwise all of them lie one after another.
    """
    first, columns = works[0], [(work.inputs, work.targets, work.weights) for work in works]
    starts = [0] * len(works)
    inputs, targets, weights = columns[0]
    if not all(_same(column, columns[0]) for column in columns):
        starts = [0, *accumulate(len(work.inputs) for work in works)][:-1]
        inputs, targets = torch.cat([each[0] for each in columns]), torch.cat([each[1] for each in columns])
        weights = None if weights is None else torch.cat([each[2] for each in columns if each[2] is not None])
    clients = [held + start for work, start in zip(works, starts, strict=True) for held in work.clients]
    origins = [Origin(work.seed, client) for work in works for client in range(len(work.clients))]
    return first._replace(inputs=inputs, targets=targets, weights=weights, clients=clients, origins=origins)


def _same(column: Sequence[Tensor | None], other: Sequence[Tensor | None]) -> bool:
    """Whether two runs have the very same data in memory."""
    pairs = zip(column, other, strict=True)
    return all(
        one is two
        or (
            one is not None
            and two is not None
            and one.data_ptr() == two.data_ptr()
            and one.shape == two.shape
        )
        for one, two in pairs
    )


def joint_of(members: Sequence[Member], asks: Sequence[Ask]) -> Joint:
    """The engine for these members, which are alike. asks: of some of them, such as a round brings."""
    work = joint_work([member.work for member in members])
    starts = [0, *accumulate(len(member.work.clients) for member in members)][:-1]
    first = dict(zip(map(id, members), starts, strict=True))
    joint = Joint(members, work, first, members[0].train)
    return joint._replace(
        train=local_trainer(work, members[0].engine, joint.cohort(asks), members[0].threads)
    )


class Engines:
    """The engines of members that are alike, made when they are first asked for and kept from round to round."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Joint] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def has(self, ask: Ask) -> bool:
        """Whether the run that asks has trained in one of these, so that its steps are rounded as its former ones."""
        known = None if ask.sort is None else self._kept.get(ask.member.sort)
        return known is not None and known.has(ask)

    def of(self, asks: Sequence[Ask]) -> Joint:
        """The engine of these asks' members, and of all that were among those of the sort before."""
        sort, known = asks[0].member.sort, self._kept.get(asks[0].member.sort)
        new = [ask for ask in asks if known is None or not known.has(ask)]
        if known is None or new:
            members = [] if known is None else known.members
            known = joint_of([*members, *(ask.member for ask in new)], asks)
            self._kept[sort] = known
        return known


def train_together(asks: Sequence[Ask], engines: Engines) -> list[Updates | BaseException]:
    """The updates of each ask, as its own trainer would give them, to rounding; the error where that raises one.

    Asks that one call can take are trained in it, the others each by its own trainer.
    """
    results: dict[int, Updates | BaseException] = {}
    groups: dict[Hashable, list[int]] = {}
    for at, ask in enumerate(asks):
        groups.setdefault(ask.sort or at, []).append(at)
    for group in groups.values():
        results |= zip(group, _tried([asks[at] for at in group], engines), strict=True)
    return [results[at] for at in range(len(asks))]


def _tried(asks: Sequence[Ask], engines: Engines) -> Sequence[Updates | BaseException]:
    """The updates of asks that one call can take. Where it fails, each by itself, so that only those fail that must."""
    if len(asks) > 1 or engines.has(asks[0]):
        try:
            return _trained(asks, engines.of(asks))
        except BaseException as error:
            if not is_fault(error):
                raise
            logger.info("%d runs in one stack failed (%s); each trains by itself", len(asks), error)
    return [_alone(ask) for ask in asks]


def _alone(ask: Ask) -> Updates | BaseException:
    try:
        return ask.member.train(ask.received, ask.cohort, ask.done, ask.terms)
    except BaseException as error:  # noqa: BLE001 - handed to the run that asked, which raises it
        return error


def _trained(asks: Sequence[Ask], joint: Joint) -> list[Updates]:
    """One call for all of them."""
    received = torch.cat([_rows(ask.received, len(ask.cohort)) for ask in asks])
    whole = joint.train(received, joint.cohort(asks), asks[0].done, _terms(asks))
    ends = list(accumulate(len(ask.cohort) for ask in asks))
    return [
        Updates(
            deltas=whole.deltas[end - len(ask.cohort) : end],
            num_examples=whole.num_examples[end - len(ask.cohort) : end],
            client_ids=torch.tensor(ask.cohort),
            losses=whole.losses[end - len(ask.cohort) : end],
        )
        for ask, end in zip(asks, ends, strict=True)
    ]


def _terms(asks: Sequence[Ask]) -> LocalTerms:
    """The terms of all clients, a row for each."""
    terms, sizes = [ask.terms for ask in asks], [len(ask.cohort) for ask in asks]
    return replace(
        terms[0],
        correction=_tensors([each.correction for each in terms], sizes),
        anchor=_tensors([each.anchor for each in terms], sizes),
        offsets=_tensors([each.offsets for each in terms], sizes),
        rate_factors=_arrays([each.rate_factors for each in terms]),
        steps=_arrays([each.steps for each in terms]),
    )


def _tensors(values: Sequence[Tensor | None], sizes: Sequence[int]) -> Tensor | None:
    there = [_rows(value, size) for value, size in zip(values, sizes, strict=True) if value is not None]
    return torch.cat(there) if there else None


def _arrays(values: Sequence[np.ndarray | None]) -> np.ndarray | None:
    there = [value for value in values if value is not None]
    return np.concatenate(there) if there else None


def _rows(value: Tensor, size: int) -> Tensor:
    """A row for each client of a run, [c, ...], where one may be for all."""
    return value.expand(size, -1) if value.dim() == 1 else value
