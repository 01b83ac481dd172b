"""The clients of a shard: their memory, the model they train from, and the extra data that they send."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from federated.algorithms import Rows, Second, Start, Tensors, Trained
from federated.algorithms.local_terms import LocalTerms
from federated.local_training import Updates
from federated.local_training.at_start import at_start
from federated.local_training.steps.reach import reach
from federated.machine.cores import threads_of
from federated.run.clients.canaries import is_of_canaries
from federated.run.clients.clusters import cluster_model, remembered_cluster
from federated.run.clients.order import ShardOrder
from federated.run.divergence import finite_made, not_finite
from federated.run.memory import ALGORITHM, CLUSTER, OWN_MODEL, rows_of
from federated.run.state import RunState
from federated.run.worker import Worker

if TYPE_CHECKING:
    from federated.run.setup import Setup

_PARAMETERS = "parameters"


def terms_of(worker: Worker, order: ShardOrder) -> LocalTerms:
    """The terms that these clients add to plain local SGD in the next round."""
    server, clients = order.server.get(ALGORITHM, {}), order.clients.tolist()
    return worker.parts.algorithm.terms(server, clients, own_rows(worker, order))


def second_of(worker: Worker, order: ShardOrder, model: Tensor) -> Second | None:
    """The second training that the algorithm asks of these clients, who received `model`; None where it asks none."""
    asked = worker.parts.algorithm.client.second
    if asked is None:
        return None
    trainable = model[..., : worker.model.num_trainable]
    return asked(order.server.get(ALGORITHM, {}), own_rows(worker, order), trainable)


def received(worker: Worker, order: ShardOrder, clusters: np.ndarray | None) -> Tensor:
    """The model that these clients train from: as sent, or [c, P] where clients keep parameters of their own, or have
    adapters of different ranks.

    clusters: the model that each takes of those that were sent, int64 [c]; None where one was.
    """
    if clusters is not None:
        model = order.model
        return model[0] if len(model) == 1 else model[torch.from_numpy(clusters).to(model.device)]
    keeps, ranks = worker.parts.travelling.keeps, worker.parts.ranks
    if not keeps and ranks is None:
        return order.model
    rows = order.model.expand(len(order.clients), -1).clone()
    if keeps:
        rows[:, worker.parts.travelling.staying] = _own_parts(worker, order)
    return rows if ranks is None else ranks.cut(rows, order.clients.tolist())


def model_of(state: RunState, setup: Setup, holder: int) -> Tensor:
    """The model [P] with which a holder answers, before any tuning."""
    model = _with_kept(state, setup, holder)
    personal, own = setup.parts.algorithm.client.personal, state.clients.get(ALGORITHM, {}).get(holder)
    if personal is None or personal.model is None or own is None:
        return model
    trainable = setup.model.num_trainable
    mine = {name: value.to(model.device) for name, value in own.items()}
    answers = personal.model(state.server.get(ALGORITHM, {}), model[:trainable], mine)
    found = torch.cat([answers.to(model), model[trainable:]])
    setup.store.drop_pages()
    return found


def _with_kept(state: RunState, setup: Setup, holder: int) -> Tensor:
    """The global model [P] with the parameters that a holder keeps."""
    if setup.parts.algorithm.clusters is not None:
        return cluster_model(state, setup, holder)
    own = state.clients.get(OWN_MODEL, {}).get(holder)
    if own is None:
        return state.parameters
    kept = own[_PARAMETERS].to(state.parameters.device)
    if not setup.parts.travelling.keeps:
        return kept
    model = state.parameters.clone()
    model[setup.parts.travelling.staying] = kept
    setup.store.drop_pages()
    return model


def own_model(parameters: Tensor) -> Tensors:
    """The form in which the parameters kept by a client are remembered."""
    return {_PARAMETERS: parameters}


def start_of(worker: Worker, order: ShardOrder, model: Tensor) -> Start | None:
    """What these clients compute with the model that they received, where the algorithm asks for it."""
    asked = worker.parts.algorithm.client.at_start
    if asked == "nothing":
        return None
    threads = threads_of(worker.config.orchestration.threads)
    return at_start(worker.work, model, order.clients.tolist(), threads, gradients=asked == "gradient")


def trained_of(worker: Worker, order: ShardOrder, updates: Updates) -> Trained | None:
    """The outcome of training as the algorithm's client half is told it; None where it does nothing with it."""
    client = worker.parts.algorithm.client
    if (client.finish is None and client.upload is None) or is_of_canaries(worker, order.clients):
        return None
    deltas = updates.deltas[:, : worker.model.num_trainable]
    reached = reach(worker.work, order.clients.tolist(), order.done, terms_of(worker, order))
    start = received(worker, order, updates.clusters)[..., : worker.model.num_trainable]
    return Trained(
        deltas,
        *reached,
        start=updates.start,
        read=deltas,
        received=start,
        second=updates.second,
        kept=updates.kept,
    )


def upload(
    worker: Worker, order: ShardOrder, updates: Updates, trained: Trained | None
) -> tuple[Tensor, int]:
    """What these clients send as their updates, [c, T]: as far as they moved, or what the algorithm makes of it.

    Also how many of them are zeros because they were not finite. Raises Diverged where that ends the run.
    """
    zeroed = torch.zeros(len(order.clients), dtype=torch.bool) if updates.zeroed is None else updates.zeroed
    own = worker.parts.algorithm.client.upload
    if own is None or trained is None:
        return updates.deltas[:, : worker.model.num_trainable], int(zeroed.sum())
    sent = own(order.server.get(ALGORITHM, {}), own_rows(worker, order), trained)
    return finite_made(worker, order, {"update": sent})["update"], int((zeroed | not_finite(sent)).sum())


def finished(
    worker: Worker, order: ShardOrder, updates: Updates, trained: Trained | None
) -> tuple[dict[str, Rows], Rows]:
    """(owner -> the new memory of these clients, the extra data that they send, rows [c, n] each).

    Raises Diverged where what is sent is not finite.
    """
    moves = worker.parts.travelling
    memory: dict[str, Rows] = {}
    sent: Rows = {}
    if updates.clusters is not None:
        memory[CLUSTER] = remembered_cluster(updates.clusters)
    if moves.keeps:
        memory[OWN_MODEL] = own_model(_own_parts(worker, order) + updates.deltas[:, moves.staying])
    finish = worker.parts.algorithm.client.finish
    if finish is not None and trained is not None:
        memory[ALGORITHM], sent = finish(order.server.get(ALGORITHM, {}), own_rows(worker, order), trained)
        sent = finite_made(worker, order, sent)
    return memory, sent


def settled(worker: Worker, kept: Rows, sent: Rows, read: Rows) -> Rows:
    """The new memory of these clients, once they know what the server reads of the extra data that they sent."""
    settle = worker.parts.algorithm.client.settle
    if settle is None or not sent:
        return kept
    return settle(kept, sent, {name: rows.to(sent[name]) for name, rows in read.items()})


def own_rows(worker: Worker, order: ShardOrder) -> Rows:
    """What these clients remember of the algorithm from before the round."""
    fresh = worker.parts.algorithm.client.init(1, worker.model.num_trainable)
    of_one = {name: rows[0].to(order.model.device) for name, rows in fresh.items()}
    return rows_of(order.own, ALGORITHM, order.clients.tolist(), of_one)


def _own_parts(worker: Worker, order: ShardOrder) -> Tensor:
    """The parameters and running statistics kept by these clients, [c, S]."""
    fresh = own_model(worker.model.vector[worker.parts.travelling.staying])
    return rows_of(order.own, OWN_MODEL, order.clients.tolist(), fresh)[_PARAMETERS]
