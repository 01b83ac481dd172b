"""A shard's part of the mean product of low-rank updates."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from federated.aggregators.lora.factors import shortened, weighted
from federated.run.worker import Worker


def products_of(worker: Worker, weights: np.ndarray, decoded: Tensor) -> list[Tensor]:
    """The factors of the weighted sum of the products of a shard's updates [c, P], B's by A's, of each adapter in turn.

    None where the server reads no single update, or has several models, or does not average.
    """
    parts = worker.parts
    if (
        parts.transport.reveals == "sum"
        or parts.algorithm.clusters is not None
        or not parts.aggregator.linear
    ):
        return []
    return [
        factor
        for adapter in parts.adapters
        for factor in shortened(weighted(weights, *adapter.factors(decoded)))
    ]
