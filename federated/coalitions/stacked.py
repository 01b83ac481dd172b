"""The rounds of many runs at once, where a round is local training, payloads and a mean, and nothing beside.

A round of a small model is mostly Python. Coalitions differ in who takes part alone, so what a round does to vectors is
done for all of them as rows of one matrix: sending the models, training, sending the updates. Draws of cohorts and the
server's steps are those of `federated/rounds.py`, for each by itself. Numbers are those of `train_rounds`, to the
rounding of a stack.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from federated.algorithms import ClientHalf, Heard
from federated.compressors import Trait
from federated.foundation.randomness import Generators, Purpose, generator
from federated.local_training.together import Ask, Engines, Member, train_together
from federated.privacy import Privacy
from federated.run.clients.client_half import terms_of
from federated.run.clients.cohort import next_cohort, weights_of
from federated.run.clients.order import ShardOrder, order_of
from federated.run.divergence import check_model, check_updates
from federated.run.memory import ALGORITHM, with_server
from federated.run.setup import Setup, initial_state
from federated.run.state import RunState
from federated.segments.gathering import member_for
from federated.shards.server_step import server_step, share_of
from federated.transports import Transport
from federated.user_code.containment import own_code_named

T = TypeVar("T", bound=Hashable)
_MOST_RUNS, _MOST_BYTES = 256, 512 * 2**20


def is_plain(setup: Setup) -> bool:
    """Whether rounds are local training, payloads and a mean alone, and clients remember nothing.

    A part of a round that is none of these is in some field of its choice, so whoever has another value there is not
    plain, also of a field that is yet to come.
    """
    parts, model = setup.parts, setup.model
    plain = {
        "a server": setup.config.kind.has_server and setup.config.engine.scale_out is None,
        "clients that train": parts.algorithm.client == ClientHalf() and parts.algorithm.clusters is None,
        "updates as they are": parts.privacy == Privacy() and parts.transport == Transport(),
        "no canaries": not setup.config.privacy.canaries,
        "codecs without memory": not parts.uplink.init(1, parts.travelling.num_moving)
        and Trait.DIFFERENCE not in parts.downlink.traits,
        "one vector that all travels": parts.travelling.num_moving
        == model.num_trainable
        == model.vector.numel(),
        "no adapters": not (model.factors or parts.adapters or parts.ranks or parts.aggregator.of_products),
    }
    return all(plain.values())


def as_many_as_fit(setups: Iterable[tuple[T, Setup | None]]) -> dict[T, Setup]:
    """The first of these, by what they are for, at least one, and as many more as there is room for in one stack.

    None: of one that cannot be among them; it is left out.
    """
    taken, room = dict[T, Setup](), _MOST_BYTES
    for each, setup in setups:
        if setup is None:
            continue
        taken[each] = setup
        room -= (size := _bytes_of(setup))
        if room < size or len(taken) == _MOST_RUNS:
            break
    return taken


def _bytes_of(setup: Setup) -> int:
    """What a run takes in a stack: the rows of its clients, and its inputs twice where they are its own."""
    rows = 3 * setup.trainers.cohort_size * setup.model.vector.nbytes
    return rows + 2 * setup.inputs.nbytes * _has_own_data(setup)


def _has_own_data(setup: Setup) -> bool:
    return setup.federation.examples.fit is not None or setup.federation.changes is not None


class _Weights(NamedTuple):
    """of_each: in the mean, float64 [c], adding up to one. share: of all who can take part."""

    of_each: np.ndarray
    share: float


class _Run(NamedTuple):
    """A run among others of the same seed and model. known: the weights of its last cohort, by who was in it."""

    setup: Setup
    member: Member
    known: dict[bytes, _Weights]

    def opened(self, state: RunState, model: Tensor) -> tuple[RunState, ShardOrder]:
        """A round before anybody trains: the state in which its draw is remembered, and the order to its cohort."""
        state, cohort, _ = next_cohort(state, self.setup)
        return state, order_of(state, model, cohort.heard, self._weights(cohort.heard).of_each)

    def ask(self, order: ShardOrder) -> Ask:
        """The training that the cohort asks for."""
        terms = terms_of(self.setup.worker, order)
        return Ask(self.member, order.model, order.clients.tolist(), order.done, terms)

    def closed(self, state: RunState, order: ShardOrder, updates: Tensor | None) -> RunState:
        """The state after the round, whose model is not checked yet."""
        if updates is None or not len(updates):
            return replace(state, round=state.round + 1)
        update = self.setup.parts.aggregator.reduce(order.weights, updates).to(state.parameters)
        heard = Heard(update, {}, self._weights(order.clients).share)
        memory, parameters = server_step(self.setup, state, heard)
        server = with_server(state.server, ALGORITHM, memory)
        return replace(state, round=state.round + 1, parameters=parameters, server=server)

    def _weights(self, clients: np.ndarray) -> _Weights:
        """Mostly those of the round before."""
        key = clients.tobytes()
        if key not in self.known:
            self.known.clear()
            self.known[key] = _Weights(weights_of(clients, self.setup), share_of(clients, self.setup))
        return self.known[key]


def train_stacked(setups: Sequence[Setup], until: int) -> list[RunState]:
    """Run rounds of all until so many are done, as `train_rounds` does of one. Raises Diverged where one does."""
    runs, engines = [_Run(setup, member_for(setup), {}) for setup in setups], Engines()
    states = [initial_state(setup) for setup in setups]
    with own_code_named(setups[0].config):
        for _ in range(until):
            states = _round(states, runs, engines)
    return states


def first_ask(setup: Setup) -> Ask:
    """What a run asks for in its first round; it may be of none."""
    run = _Run(setup, member_for(setup), {})
    return run.ask(run.opened(initial_state(setup), setup.initial_parameters)[1])


def _round(states: Sequence[RunState], runs: Sequence[_Run], engines: Engines) -> list[RunState]:
    """The next round of all. What is the same for all of them is taken from the first."""
    first, done = runs[0].setup, states[0].round
    opened = [
        run.opened(state, model) for run, state, model in zip(runs, states, _sent(first, states), strict=True)
    ]
    heard = [(run, order) for run, (_, order) in zip(runs, opened, strict=True) if len(order.clients)]
    read = _read(first, [order for _, order in heard], _trained(heard, engines)) if heard else None
    ends = accumulate(len(order.clients) for _, order in opened)
    after = [
        run.closed(state, order, None if read is None else read[end - len(order.clients) : end])
        for run, (state, order), end in zip(runs, opened, ends, strict=True)
    ]
    if not torch.stack([state.parameters for state in after]).sum().isfinite():
        for run, state in zip(runs, after, strict=True):
            check_model(run.setup.config, done, state.parameters)
    return after


class _OfRound(Sequence[np.random.Generator]):
    """The numbers of a round's downlink for each of several runs of one seed, made when a codec asks for them."""

    def __init__(self, seed: int, done: int, count: int) -> None:
        self._key, self._count = (seed, Purpose.COMPRESSION, done), count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: Any) -> Any:
        return generator(*self._key)


def _sent(first: Setup, states: Sequence[RunState]) -> Tensor:
    """The model of each run as its clients receive it, [R, P]."""
    models, codec = torch.stack([state.parameters for state in states]), first.parts.downlink
    numbers = _OfRound(first.config.seed, states[0].round, len(models))
    payloads, _ = codec.encode(codec.init(*models.shape), models, numbers)
    return codec.decode(payloads, models.shape[1]).to(models)


def _trained(heard: Sequence[tuple[_Run, ShardOrder]], engines: Engines) -> Tensor:
    """The updates of all clients, run after run, [c, P]. Raises Diverged."""
    asks, found = [run.ask(order) for run, order in heard], list[Tensor]()
    for updates in train_together(asks, engines):
        if isinstance(updates, BaseException):
            raise updates
        found.append(updates.deltas)
    deltas = torch.cat(found)
    if not deltas.sum().isfinite():
        for (run, order), ask, rows in zip(heard, asks, found, strict=True):
            check_updates(run.setup.worker, order, rows, ask.terms)
    return deltas


def _read(first: Setup, orders: Sequence[ShardOrder], deltas: Tensor) -> Tensor:
    """The updates as the server reads them, float32 on the CPU."""
    codec, clients = first.parts.uplink, np.concatenate([order.clients for order in orders]).tolist()
    numbers = Generators(first.config.seed, Purpose.COMPRESSION, orders[0].done, clients)
    payloads, _ = codec.encode({}, deltas, numbers)
    return codec.decode(payloads, deltas.shape[1]).to("cpu", torch.float32)
