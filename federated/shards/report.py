"""The report of a shard: its contribution to a round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from federated.algorithms import Rows, Tensors
from federated.run.drift import Drift
from federated.wire.distortion import Distortion
from federated.wire.ledger import Traffic


class ShardReport(NamedTuple):
    """Plain values, which can be sent to another process.

    update: the shard's part [P] of the aggregate, float64 on the CPU, or one of each cluster, [k, P], where clients
    choose theirs; where the aggregator or the algorithm needs the whole cohort, the shard's updates, float32 [c, P].
    sent: its part [T] of the mean of the clients' extra data. clients: int64 [c];
    travelled: a payload of each client, where the server may read their sum alone and `update` is empty.
    weights: of their updates, float64 [c]. loss: its part of the mean.
    clipped_clients: whose update was changed, of which zeroed_clients were not finite and count as zeros.
    memory: owner -> what these clients now remember, a row of each.
    without_loss: the weight of clients that are not in `loss`, as theirs is not a finite number where that does not end
    the run. bounded: how many gradients of single examples were longer than their bound, of how many; None in plain
    steps.
    clusters: the cluster in which each trained, int64 [c]; None where the server has one model.
    products: the factors of the weighted sum of the products of low-rank updates, of each adapter in turn: the left
        one, float64 [d, q], and the right one, [q, k]; none where they are not looked at.
    """

    update: Tensor
    sent: Tensors
    clients: np.ndarray
    weights: np.ndarray
    loss: float
    uplink: Traffic
    clipped_clients: int
    distortion: Distortion
    memory: dict[str, Rows]
    training_seconds: float
    compression_seconds: float
    drift: Drift | None = None
    travelled: Sequence[bytes] = ()
    clusters: np.ndarray | None = None
    zeroed_clients: int = 0
    without_loss: float = 0.0
    bounded: tuple[int, int] | None = None
    products: Sequence[Tensor] = ()
