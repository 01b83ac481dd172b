"""The memory of a run's parts between rounds: one slot at the server and one at every client for each owner.

An owner is named by its field in a study file or by what it does: "algorithm", "uplink", "privacy", "participation".
The slots of a client that has not taken part yet are empty. Mappings are never modified: a round returns new ones.
What clients remember is in the run's store, `Setup.store`: in memory up to `engine.client_memory_mb`, then on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from federated.algorithms.algorithm import Rows, Tensors
from federated.machine.tensors.spilling import Spilling

ALGORITHM, UPLINK, DOWNLINK = "algorithm", "uplink", "downlink"
LEDGER = "ledger"
"""At the server: what each client has sent and received so far."""
ADAPTERS, HELD = "adapters", "held"
"""At the server: the residuals of low-rank adapters that are still worth sending, and which of them each client has."""

PARTICIPATION, PRIVACY, CANARIES = "participation", "privacy", "canaries"
OWN_MODEL = "own_model"
"""The numbers that a client keeps: its whole model without a server, else the part that is never sent."""

BESIDE = "beside"
"""What the codec of the data beside updates remembers of a client, such as what is lost so far, by name of the data."""

CLUSTER = "cluster"
"""The cluster in which a client trained last, `{"cluster": int64 [1]}`."""

ServerMemory = dict[str, Tensors]
"""Owner -> its memory at the server. Owners without memory need no slot."""
ClientMemory = dict[str, dict[int, Tensors]]
"""Owner -> client -> the owner's memory for that client."""


def rows_of(memory: ClientMemory, owner: str, clients: Sequence[int], fresh: Tensors) -> Rows:
    """The memory of an owner for these clients, one row each, on the device of `fresh`, the value of an empty slot."""
    kept = memory.get(owner, {})
    rows = [kept.get(client, fresh) for client in clients]
    return {name: torch.stack([row[name].to(value.device) for row in rows]) for name, value in fresh.items()}


def stored(memory: Mapping[str, Rows], clients: Sequence[int] | np.ndarray, store: Spilling) -> ClientMemory:
    """The rows of these clients by owner and client, as copies in the run's store.

    Raises BadInput where the disk has no room for them.
    """
    found = {
        owner: {
            int(client): {name: store.kept(value[at]) for name, value in rows.items()}
            for at, client in enumerate(clients)
        }
        for owner, rows in memory.items()
        if rows
    }
    store.drop_pages()
    return found


def with_server(memory: ServerMemory, owner: str, tensors: Tensors) -> ServerMemory:
    """The memory, with the new server memory of one owner."""
    others = {name: kept for name, kept in memory.items() if name != owner}
    return {**others, owner: tensors} if tensors else others


def with_clients(memory: ClientMemory, shards: Iterable[ClientMemory]) -> ClientMemory:
    """The memory, with the new client memory from some shards."""
    more: ClientMemory = {}
    for shard in shards:
        for owner, rows in shard.items():
            more.setdefault(owner, {}).update(rows)
    return {**memory, **{owner: {**memory.get(owner, {}), **rows} for owner, rows in more.items() if rows}}
