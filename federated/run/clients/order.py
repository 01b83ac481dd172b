"""The order of a shard: all that a worker needs to train some clients of a round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from federated.run.memory import ALGORITHM, PRIVACY, ClientMemory, ServerMemory
from federated.run.state import RunState


class ShardOrder(NamedTuple):
    """Plain values, which can be sent to another process.

    done: rounds before this one. model: the parameters that these clients receive, [P], or [c, P] with a row for each;
        where the server has several models, all of them, [k, P].
    server: what they hear of the server's memory, by owner. clients: int64 [c]; weights: of their updates, float64 [c].
    own: the memory of those of them that have any, by owner. cohort: all clients that are heard in the round, int64.
    """

    done: int
    model: Tensor
    server: ServerMemory
    clients: np.ndarray
    weights: np.ndarray
    own: ClientMemory
    cohort: np.ndarray


def order_of(
    state: RunState,
    model: Tensor,
    clients: Sequence[int] | np.ndarray,
    weights: np.ndarray,
    cohort: Sequence[int] | np.ndarray | None = None,
) -> ShardOrder:
    """The order to these clients in the round after the state. cohort: None where they are all."""
    clients = np.asarray(clients, np.int64)
    everybody = clients if cohort is None else np.asarray(cohort, np.int64)
    server = {owner: kept for owner, kept in state.server.items() if owner in (ALGORITHM, PRIVACY)}
    own = {
        owner: mine
        for owner, rows in state.clients.items()
        if (mine := {client: rows[client] for client in clients.tolist() if client in rows})
    }
    return ShardOrder(state.round, model, server, clients, weights, own, everybody)
