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
    with_others_known,
    without_others,
    without_part,
)
from federated.run.clients.order import ShardOrder
from federated.run.memory import CANARIES, ServerMemory, with_server
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
        after, server=with_server(after.server, CANARIES, _seen(after.server.get(CANARIES, {}), found))
    )


def _seen(memory: Tensors, found: Tensor) -> Tensors:
    """largest: of each canary so far, float64 [2 k]. rounds: that moved the model."""
    kept = {"largest": torch.full_like(found, -1.0), "rounds": torch.tensor(0), **memory}
    if not found.any():
        return kept
    return {**kept, "largest": torch.maximum(kept["largest"], found), "rounds": kept["rounds"] + 1}


def with_release(setup: Setup, state: RunState, released: Tensor, of_clients: Tensor) -> ServerMemory:
    """The server's memory with what a released update [T] has beyond the part that the clients sent [T], of any length.

    rest: the sum of that over the rounds, float32 [what travels]. of_a_round: each canary's largest cosine with it,
    float64 [k]. releases: how many. A run from an older checkpoint begins to sum where it goes on.
    """
    count = setup.config.privacy.canaries
    if not count:
        return state.server
    rest = without_part(*setup.parts.travelling.of(torch.stack([released, of_clients.to(released)])))
    found = torch.from_numpy(without_others(setup.config.seed, count, rest).cosines)
    before = {
        "rest": torch.zeros_like(rest),
        "of_a_round": torch.full_like(found, -1.0),
        "releases": torch.tensor(0),
        **state.server.get(CANARIES, {}),
    }
    after = {
        "rest": before["rest"] + rest,
        "of_a_round": torch.maximum(before["of_a_round"], found),
        "releases": before["releases"] + 1,
    }
    return with_server(state.server, CANARIES, {**before, **after})


def empirical_metrics(state: RunState, setup: Setup) -> Metrics:
    """`privacy/empirical_epsilon_*` of the state, at the run's delta; none without canaries, or a model that moved."""
    return {
        f"privacy/empirical_epsilon_{models}_{form}": value
        for models, found in _empirical(state, setup).items()
        for form, value in found._asdict().items()
    }


def _empirical(state: RunState, setup: Setup) -> dict[str, Empirical]:
    """What the canaries show: `final` of the way from the initial model, `iterates` of every round's step.

    `informed`: of every release, without what others sent; where a checkpoint of an older version has none yet, not.
    """
    count, memory = setup.config.privacy.canaries, state.server.get(CANARIES)
    if memory is None or not int(memory["rounds"]):
        return {}
    delta = delta_of(setup.config, len(setup.trainers.eligible))
    dimension, largest = setup.parts.travelling.num_moving, memory["largest"].cpu().numpy()
    final = _alignments(setup, setup.initial_parameters, state.parameters, count).numpy()
    found = {
        "final": of_final_model(final, dimension, delta),
        "iterates": of_iterates(largest[:count], largest[count:], dimension, int(memory["rounds"]), delta),
    }
    if "rest" in memory:
        whole, left = without_others(setup.config.seed, count, memory["rest"])
        in_a_round = memory["of_a_round"].cpu().numpy()
        found["informed"] = with_others_known(whole, in_a_round, left, int(memory["releases"]), delta)
    return found


def _alignments(setup: Setup, start: Tensor, end: Tensor, count: int) -> Tensor:
    """The cosines [count] of canaries with the way between two models, among all that travels."""
    way = (end.double() - start.double())[: setup.model.num_trainable]
    return torch.from_numpy(alignments(setup.config.seed, count, setup.parts.travelling.of(way[None])[0]))
