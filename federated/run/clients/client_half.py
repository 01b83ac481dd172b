"""The clients of a shard: their memory, the model they train from, and the extra data that they send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from federated.algorithms import Rows, Tensors, Trained
from federated.algorithms.local_terms import LocalTerms
from federated.local_training import Updates
from federated.local_training.steps.reach import reach
from federated.run.clients.order import ShardOrder
from federated.run.memory import ALGORITHM, OWN_MODEL, rows_of
from federated.run.state import RunState
from federated.run.worker import Worker

if TYPE_CHECKING:
    from federated.run.setup import Setup

_PARAMETERS = "parameters"


def terms_of(worker: Worker, order: ShardOrder) -> LocalTerms:
    """The terms that these clients add to plain local SGD in the next round."""
    server, clients = order.server.get(ALGORITHM, {}), order.clients.tolist()
    return worker.parts.algorithm.terms(server, clients, _own_rows(worker, order))


def received(worker: Worker, order: ShardOrder) -> Tensor:
    """The model that these clients train from: as sent, or [c, P] where clients keep parameters of their own."""
    if worker.parts.travelling.moving is None:
        return order.model
    rows = order.model.expand(len(order.clients), -1).clone()
    rows[:, worker.parts.travelling.staying] = _own_parts(worker, order)
    return rows


def model_of(state: RunState, setup: Setup, holder: int) -> Tensor:
    """The model [P] of a holder: the global model with the parameters that the holder keeps."""
    own = state.clients.get(OWN_MODEL, {}).get(holder)
    if own is None:
        return state.parameters
    if setup.parts.travelling.moving is None:
        return own[_PARAMETERS]
    model = state.parameters.clone()
    model[setup.parts.travelling.staying] = own[_PARAMETERS]
    return model


def own_model(parameters: Tensor) -> Tensors:
    """The form in which the parameters kept by a client are remembered."""
    return {_PARAMETERS: parameters}


def finished(worker: Worker, order: ShardOrder, updates: Updates) -> tuple[dict[str, Rows], Rows]:
    """(owner -> the new memory of these clients, the extra data that they send, rows [c, T] each)."""
    trainable, moves = worker.model.num_trainable, worker.parts.travelling
    memory: dict[str, Rows] = {}
    sent: Rows = {}
    if moves.moving is not None:
        memory[OWN_MODEL] = own_model(_own_parts(worker, order) + updates.deltas[:, moves.staying])
    finish = worker.parts.algorithm.client.finish
    if finish is not None:
        server, own = order.server.get(ALGORITHM, {}), _own_rows(worker, order)
        reached = reach(worker.work, order.clients.tolist(), order.done, terms_of(worker, order))
        memory[ALGORITHM], sent = finish(server, own, Trained(updates.deltas[:, :trainable], reached))
    return memory, sent


def _own_rows(worker: Worker, order: ShardOrder) -> Rows:
    fresh = worker.parts.algorithm.client.init(1, worker.model.num_trainable)
    of_one = {name: rows[0].to(order.model.device) for name, rows in fresh.items()}
    return rows_of(order.own, ALGORITHM, order.clients.tolist(), of_one)


def _own_parts(worker: Worker, order: ShardOrder) -> Tensor:
    """The parameters kept by these clients, [c, S]."""
    fresh = own_model(worker.model.vector[worker.parts.travelling.staying])
    return rows_of(order.own, OWN_MODEL, order.clients.tolist(), fresh)[_PARAMETERS]
