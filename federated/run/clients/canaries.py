"""The canaries of a run: clients of random directions, drawn and heard as all are, and their traces in the model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from federated.algorithms import Tensors
from federated.local_training import Updates
from federated.metrics import Metrics
from federated.privacy.canaries import (
    Empirical,
    alignments,
    directions,
    long_updates,
    of_final_model,
    of_iterates,
)
from federated.run.clients.order import ShardOrder
from federated.run.memory import CANARIES, with_server
from federated.run.preparing.promise import delta_of
from federated.run.state import RunState
from federated.run.worker import Worker

if TYPE_CHECKING:
    from federated.run.setup import Setup


def is_of_canaries(worker: Worker, clients: np.ndarray) -> bool:
    """Whether the clients of a shard, int64 [c], are canaries, whose numbers follow the others'; none has both."""
    return len(clients) > 0 and int(clients[0]) >= len(worker.holders.indices)


def updates_of_canaries(worker: Worker, order: ShardOrder) -> Updates:
    """The updates of canaries, which do not train: each along its direction among all that travels.

    Longer than any norm, which the mechanism brings them to, or of the stated norm where it bounds nothing.
    """
    moves, model = worker.parts.travelling, worker.model
    canaries = order.clients - len(worker.holders.indices)
    seed, norm = worker.config.seed, worker.config.privacy.canary_norm
    if worker.parts.privacy.bound is not None or norm is None:
        drawn = long_updates(seed, canaries.tolist(), moves.num_moving)
    else:
        drawn = directions(seed, canaries.tolist(), moves.num_moving) * norm
    drawn = drawn.to(model.vector)
    deltas = torch.zeros(len(canaries), model.vector.numel()).to(model.vector)
    deltas[:, : model.num_trainable] = moves.back(drawn, deltas[:, : model.num_trainable])
    nothing = torch.zeros(len(canaries), dtype=torch.int64)
    return Updates(deltas, nothing, torch.from_numpy(order.clients), nothing.float())


def with_traces(setup: Setup, before: RunState, after: RunState) -> RunState:
    """The state after a round, in which the server also remembers the canaries' largest cosines with a round's step."""
    if not setup.config.privacy.canaries:
        return after
    found = _alignments(setup, before.parameters, after.parameters, 2 * setup.config.privacy.canaries)
    return replace(
        after, server=with_server(after.server, CANARIES, _seen(before.server.get(CANARIES), found))
    )


def _seen(memory: Tensors | None, found: Tensor) -> Tensors:
    """largest: of each canary so far, float64 [2 k]. rounds: that moved the model."""
    before = memory or {"largest": torch.full_like(found, -1.0), "rounds": torch.tensor(0)}
    if not found.any():
        return before
    return {"largest": torch.maximum(before["largest"], found), "rounds": before["rounds"] + 1}


def empirical_metrics(state: RunState, setup: Setup) -> Metrics:
    """`privacy/empirical_epsilon_*` of the state, at the run's delta; none without canaries, or a model that moved."""
    return {
        f"privacy/empirical_epsilon_{models}_{form}": value
        for models, found in _empirical(state, setup).items()
        for form, value in found._asdict().items()
    }


def _empirical(state: RunState, setup: Setup) -> dict[str, Empirical]:
    """What the canaries show: `final` of the way from the initial model, `iterates` of every round's step."""
    count, memory = setup.config.privacy.canaries, state.server.get(CANARIES)
    if memory is None or not int(memory["rounds"]):
        return {}
    delta = delta_of(setup.config, len(setup.trainers.eligible))
    dimension, largest = setup.parts.travelling.num_moving, memory["largest"].cpu().numpy()
    final = _alignments(setup, setup.initial_parameters, state.parameters, count).numpy()
    return {
        "final": of_final_model(final, dimension, delta),
        "iterates": of_iterates(largest[:count], largest[count:], dimension, int(memory["rounds"]), delta),
    }


def _alignments(setup: Setup, start: Tensor, end: Tensor, count: int) -> Tensor:
    """The cosines [count] of canaries with the way between two models, among all that travels."""
    way = (end.double() - start.double())[: setup.model.num_trainable]
    return torch.from_numpy(alignments(setup.config.seed, count, setup.parts.travelling.of(way[None])[0]))
