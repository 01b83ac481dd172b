"""Payloads of clients that have adapters of different ranks: each sends and receives what it has, and no more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from federated.aggregators.lora.ranks import Ranks
from federated.compressors import CohortState
from federated.run.clients.order import ShardOrder
from federated.run.worker import Worker


def encoded_updates(
    worker: Worker,
    order: ShardOrder,
    updates: Tensor,
    remembered: CohortState,
    numbers: Sequence[np.random.Generator],
) -> tuple[list[bytes], CohortState]:
    """(a payload of each client's update [c, M], what the uplink's codec then remembers of these clients)."""
    parts, payloads = worker.parts, dict[int, bytes]()
    if parts.ranks is None:
        return parts.uplink.encode(remembered, updates, numbers)
    for own, at in parts.ranks.among(order.clients.tolist()):
        rows = updates[at][:, own.places.to(updates.device)]
        found, _ = own.uplink.encode({}, rows, [numbers[each] for each in at])
        payloads |= dict(zip(at, found, strict=True))
    return [payloads[at] for at in range(len(updates))], {}


def decoded_updates(worker: Worker, order: ShardOrder, payloads: Sequence[bytes]) -> Tensor:
    """The updates float32 [c, M], zeros for what a client does not have."""
    parts, moving = worker.parts, worker.parts.travelling.num_moving
    if parts.ranks is None:
        return parts.uplink.decode(payloads, moving).to("cpu", torch.float32)
    decoded = torch.zeros(len(payloads), moving)
    for own, at in parts.ranks.among(order.clients.tolist()):
        read = own.uplink.decode([payloads[each] for each in at], len(own.places))
        decoded[torch.tensor(at)[:, None], own.places.cpu()] = read.to("cpu", torch.float32)
    return decoded


def models_by_rank(
    ranks: Ranks, model: Tensor, num_moving: int, cohort: Sequence[int], numbers: np.random.Generator
) -> list[bytes]:
    """The payload of the model that each client receives: [M + R], M numbers of parameters and R running statistics."""
    payloads = dict[int, bytes]()
    statistics = torch.arange(num_moving, len(model), device=model.device)
    for own, at in ranks.among(cohort):
        places = torch.cat([own.places.to(model.device), statistics])
        (payload,), _ = own.downlink.encode({}, model[None, places], [numbers])
        payloads |= dict.fromkeys(at, payload)
    return [payloads[at] for at in range(len(cohort))]
