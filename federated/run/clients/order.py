"""The order of a shard: all that a worker is told to train some clients of a round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from federated.run.memory import ALGORITHM, PRIVACY, ClientMemory, ServerMemory
from federated.run.state import RunState


class ShardOrder(NamedTuple):
    """Plain values, which can be sent to another process.

    done: rounds before this one. model: the parameters that these clients receive, [P], or [c, P] with a row for each.
    server: what they hear of the server's memory, by owner. clients: int64 [c]; weights: of their updates, float64 [c].
    own: the memory of those of them that have any, by owner.
    """

    done: int
    model: Tensor
    server: ServerMemory
    clients: np.ndarray
    weights: np.ndarray
    own: ClientMemory


def order_of(
    state: RunState, model: Tensor, clients: Sequence[int] | np.ndarray, weights: np.ndarray
) -> ShardOrder:
    """The order to these clients in the round after the state."""
    clients = np.asarray(clients, np.int64)
    server = {owner: kept for owner, kept in state.server.items() if owner in (ALGORITHM, PRIVACY)}
    own = {
        owner: mine
        for owner, rows in state.clients.items()
        if (mine := {client: rows[client] for client in clients.tolist() if client in rows})
    }
    return ShardOrder(state.round, model, server, clients, weights, own)
