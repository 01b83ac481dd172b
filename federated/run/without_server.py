"""A round without a server: each client whose turn it is trains its own model on its own examples."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from federated.local_training import Updates
from federated.machine.memory import give_back
from federated.run.clients.client_half import model_of, own_model
from federated.run.clients.cohort import sample_cohort
from federated.run.clients.order import ShardOrder, order_of
from federated.run.memory import OWN_MODEL, ClientMemory, stored, with_clients
from federated.run.state import RunState
from federated.run.worker import Worker

if TYPE_CHECKING:
    from federated.run.setup import Setup

ShardTrainer = Callable[[Worker, Iterable[ShardOrder]], Iterator[Updates]]
"""The stage of a round that trains, shard by shard, here or elsewhere."""


class Turn(NamedTuple):
    """The outcome of a round: the holders that trained, their losses, float64 [C], and the distances they moved."""

    holders: np.ndarray
    losses: np.ndarray
    norms: np.ndarray


def train_alone(state: RunState, setup: Setup, train_shards: ShardTrainer) -> tuple[RunState, Turn]:
    """One round. Centralised: the holder's model is the global one; local: each client's own model is in `clients`.

    The model of every client that has trained is kept in `clients`, like the residuals of error feedback. So curves
    grow round by round, and a checkpoint holds all that the next round needs. Shards bound the remaining memory.
    """
    holders = sample_cohort(setup, state.round)
    losses, norms, models = [], [], list[ClientMemory]()
    parameters = state.parameters
    given = deque[ShardOrder]()  # the orders of the shards that are being trained
    for updates in train_shards(setup.worker, _orders(state, setup, holders, given)):
        order = given.popleft()
        shard = order.clients.tolist()
        losses.append(updates.losses.double().numpy())
        norms.append(torch.linalg.vector_norm(updates.deltas, dim=1).double().numpy(force=True))
        trained = order.model.add_(updates.deltas.to(order.model))
        if setup.trainers.kind.own_models:
            if models:
                give_back()
            models.append(stored({OWN_MODEL: own_model(trained)}, shard, setup.store))
        else:
            parameters = trained[0]
    clients = with_clients(state.clients, models)
    after = replace(state, round=state.round + 1, parameters=parameters, clients=clients)
    return after, Turn(holders, np.concatenate(losses), np.concatenate(norms))


def _orders(
    state: RunState, setup: Setup, holders: np.ndarray, given: deque[ShardOrder]
) -> Iterator[ShardOrder]:
    """The orders to these holders, each of which receives its own model; what was asked for is noted in `given`."""
    for start in range(0, len(holders), setup.shard_size):
        shard = holders[start : start + setup.shard_size].tolist()
        received = torch.stack([model_of(state, setup, holder) for holder in shard])
        given.append(order_of(state, received, shard, np.ones(len(shard))))
        yield given[-1]
