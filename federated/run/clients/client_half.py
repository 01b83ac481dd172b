"""The clients of a shard: their memory, the model they train from, and the extra data that they send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from federated.algorithms import Rows, Tensors, Trained
from federated.algorithms.local_terms import LocalTerms
from federated.local_training import Updates
from federated.local_training.steps.reach import reach
from federated.run.memory import ALGORITHM, OWN_MODEL, rows_of
from federated.run.state import RunState

if TYPE_CHECKING:
    from federated.run.setup import Setup

_PARAMETERS = "parameters"


def terms_of(setup: Setup, state: RunState, clients: Sequence[int]) -> LocalTerms:
    """The terms that these clients add to plain local SGD in the next round."""
    server = state.server.get(ALGORITHM, {})
    return setup.parts.algorithm.terms(server, clients, _own_rows(setup, state, clients))


def received(setup: Setup, state: RunState, model: Tensor, clients: Sequence[int]) -> Tensor:
    """The model that these clients train from: [P] as sent, or [c, P] where clients keep parameters of their own."""
    if setup.parts.travelling.moving is None:
        return model
    rows = model.expand(len(clients), -1).clone()
    rows[:, setup.parts.travelling.staying] = _own_parts(setup, state, clients)
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


def finished(setup: Setup, state: RunState, updates: Updates) -> tuple[dict[str, Rows], Rows]:
    """(owner -> the new memory of these clients, the extra data that they send, rows [c, T] each)."""
    clients, trainable = updates.client_ids.tolist(), setup.model.num_trainable
    memory: dict[str, Rows] = {}
    sent: Rows = {}
    if setup.parts.travelling.moving is not None:
        moved = updates.deltas[:, setup.parts.travelling.staying]
        memory[OWN_MODEL] = own_model(_own_parts(setup, state, clients) + moved)
    finish = setup.parts.algorithm.client.finish
    if finish is not None:
        server, own = state.server.get(ALGORITHM, {}), _own_rows(setup, state, clients)
        reached = reach(setup.worker.work, clients, state.round, terms_of(setup, state, clients))
        memory[ALGORITHM], sent = finish(server, own, Trained(updates.deltas[:, :trainable], reached))
    return memory, sent


def _own_rows(setup: Setup, state: RunState, clients: Sequence[int]) -> Rows:
    fresh = setup.parts.algorithm.client.init(1, setup.model.num_trainable)
    of_one = {name: rows[0].to(state.parameters.device) for name, rows in fresh.items()}
    return rows_of(state.clients, ALGORITHM, clients, of_one)


def _own_parts(setup: Setup, state: RunState, clients: Sequence[int]) -> Tensor:
    """The parameters kept by these clients, [c, S]."""
    fresh = own_model(setup.initial_parameters[setup.parts.travelling.staying])
    return rows_of(state.clients, OWN_MODEL, clients, fresh)[_PARAMETERS]
