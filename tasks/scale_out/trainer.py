"""A trainer: the worker of a run in a process of its own, which Ray starts and calls. It knows nothing of Ray."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from federated.config.run import RunConfig
from federated.federation.federation import Federation
from federated.machine.torch_threads import torch_threads
from federated.run.setup import worker_for
from federated.run.worker import Worker
from federated.shards import ShardOrder, in_this_process, trained_in_this_process
from federated.user_code.containment import contain_exits
from federated.user_code.source import VARIABLE
from tasks.scale_out.travel import packed, unpacked

_NOBODY = np.zeros(0, np.int64)


class Trainer:
    """Trains clients of one run after another. What it does depends on its orders alone: it remembers no client."""

    def __init__(self) -> None:
        contain_exits()
        self._worker: Worker | None = None

    def begin(self, config: RunConfig, federation: Federation, allowed: str) -> None:
        """Become a worker of a run. Raises as `prepare` does. allowed: own code, by name, that the user allowed."""
        self._worker = None
        os.environ[VARIABLE] = allowed
        with torch_threads(1):
            self._worker = worker_for(config, federation)

    def end(self) -> None:
        """Let go of the run and of its data."""
        self._worker = None

    def run(self, common: ShardOrder, own: ShardOrder) -> Any:
        """The report of a shard, as it travels."""
        worker, order = self._given(common, own)
        with torch_threads(1):
            return packed(next(in_this_process(worker, [order])))

    def train(self, common: ShardOrder, own: ShardOrder) -> Any:
        """The updates of a shard, as they travel."""
        worker, order = self._given(common, own)
        with torch_threads(1):
            return packed(next(trained_in_this_process(worker, [order])))

    def _given(self, common: ShardOrder, own: ShardOrder) -> tuple[Worker, ShardOrder]:
        assert self._worker is not None, "a trainer is begun before its first order"
        device = self._worker.work.inputs.device
        whole = own._replace(done=common.done, model=common.model, server=common.server, cohort=common.cohort)
        return self._worker, unpacked(whole, device)


def common_of(order: ShardOrder) -> ShardOrder:
    """The part of an order that all orders of a round share, as it travels."""
    return packed(order._replace(clients=_NOBODY, weights=_NOBODY, own={}))  # type: ignore[no-any-return]


def own_of(order: ShardOrder) -> ShardOrder:
    """The other part."""
    return packed(order._replace(model=torch.zeros(0), server={}, cohort=_NOBODY))  # type: ignore[no-any-return]


def in_common(one: ShardOrder, other: ShardOrder) -> bool:
    """Whether two orders share what `common_of` says: the very same values, so that none need be compared."""
    mine, others = _common_values(one), _common_values(other)
    return len(mine) == len(others) and all(a is b for a, b in zip(mine, others, strict=True))


def _common_values(order: ShardOrder) -> list[object]:
    told = [value for tensors in order.server.values() for value in tensors.values()]
    return [order.model, order.cohort, *told]


def that_travels(federation: Federation) -> Federation:
    """The federation without what has done its work, some of which cannot be sent: a person's own code, say."""
    examples = replace(federation.examples, fit=None, preprocessing=None)
    return replace(federation, examples=examples, changes=None)
