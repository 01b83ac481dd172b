"""The memory of a run's parts between rounds: one slot at the server and one at every client for each owner.

An owner is a part's word in a study file: "algorithm", "uplink", "downlink". A client that never took part has nothing
in its slots yet. Nothing here is ever changed: a round returns new mappings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from federated.algorithms.algorithm import Rows, Tensors

ALGORITHM, UPLINK, DOWNLINK = "algorithm", "uplink", "downlink"
OWN_MODEL = "own_model"
"""What stays with a client of its model: all of it where there is no server, else the parameters that never travel."""

ServerMemory = dict[str, Tensors]
"""Owner -> what it remembers at the server. Owners that remember nothing need no slot."""
ClientMemory = dict[str, dict[int, Tensors]]
"""Owner -> client -> what it remembers of, or at, that client."""


def rows_of(memory: ClientMemory, owner: str, clients: Sequence[int], fresh: Tensors) -> Rows:
    """What an owner remembers of these clients, one row each, on the device of `fresh`: of one that has nothing yet."""
    kept = memory.get(owner, {})
    rows = [kept.get(client, fresh) for client in clients]
    return {name: torch.stack([row[name].to(value.device) for row in rows]) for name, value in fresh.items()}


def by_client(rows: Rows, clients: Sequence[int] | np.ndarray) -> dict[int, Tensors]:
    """The rows of a shard, each a client's own; nothing for an owner that remembers nothing."""
    if not rows:
        return {}
    return {
        int(client): {name: value[row].clone() for name, value in rows.items()}
        for row, client in enumerate(clients)
    }


def with_server(memory: ServerMemory, owner: str, tensors: Tensors) -> ServerMemory:
    """The memory, with what one owner remembers now at the server."""
    others = {name: kept for name, kept in memory.items() if name != owner}
    return {**others, owner: tensors} if tensors else others


def with_clients(memory: ClientMemory, shards: Iterable[ClientMemory]) -> ClientMemory:
    """The memory, with what owners remember now of the clients of some shards."""
    more: ClientMemory = {}
    for shard in shards:
        for owner, rows in shard.items():
            more.setdefault(owner, {}).update(rows)
    return {**memory, **{owner: {**memory.get(owner, {}), **rows} for owner, rows in more.items() if rows}}
