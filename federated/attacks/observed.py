"""The sight of an attacker: the final model, and the update of each client as the server reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from federated.evaluation.outputs import Outputs
from federated.foundation.errors import Diverged
from federated.foundation.randomness import Purpose, generator
from federated.metrics.by_client import are_finite
from federated.run.clients.client_half import received
from federated.run.clients.cohort import expected_clients, weights_of
from federated.run.clients.order import order_of
from federated.run.state import RunState
from federated.shards.report import ShardReport
from federated.shards.shard import Compress, run_shard, train
from federated.shards.sums import aggregated
from federated.wire.downlink import broadcast
from federated.wire.uplink import compress

if TYPE_CHECKING:
    from federated.run.setup import Setup

_COHORT = 1  # key of Purpose.LEAKAGE


class Suspects(NamedTuple):
    """The examples about which is asked, client after client.

    indices: int64 [n]; members: which are trained on, bool [n]; owners: the client of each, int64 [n], rising.
    """

    indices: np.ndarray
    members: np.ndarray
    owners: np.ndarray

    def of(self, clients: np.ndarray) -> Suspects:
        """Those of some clients."""
        mine = np.isin(self.owners, clients)
        return Suspects(*(part[mine] for part in self))


def without_traces(setup: Setup) -> Setup:
    """The same setup, whose rounds leave no files of payloads, measure nothing on the side and run no protocol.

    The server gets the same sum without it, so that no drop-out can end a measurement.
    """
    config = setup.config
    compression = config.compression.model_copy(update={"dump": None, "quality": False})
    evaluation = config.evaluation.model_copy(update={"drift": False})
    setup = setup.with_config(
        config.model_copy(update={"compression": compression, "evaluation": evaluation})
    )
    return replace(setup, worker=replace(setup.worker, parts=setup.parts.with_plain_sum))


def in_a_round_that_trains(state: RunState, setup: Setup) -> RunState:
    """The state before the round after the last, or before the latest one in which a schedule has not come to zero."""
    config, done = setup.config, state.round
    schedules = [choice.build() for choice in (config.local.schedule, config.server_schedule)]
    while done and not all(schedule(done, config.rounds) for schedule in schedules):
        done -= 1
    return state if done == state.round else replace(state, round=done)


def one_cohort(setup: Setup, first: np.ndarray, others: Sequence[int] | np.ndarray = ()) -> np.ndarray:
    """As many clients as a round has on average, at least one, in rising order; the same for every seed of the model.

    first: who is drawn. others: by whom the cohort is filled up where those are too few.
    """
    size = max(1, round(expected_clients(setup)))
    numbers = generator(setup.config.seed, Purpose.LEAKAGE, _COHORT)
    drawn = numbers.choice(first, min(len(first), size), replace=False)
    rest = np.setdiff1d(others, first).astype(np.int64)
    more = numbers.choice(rest, min(len(rest), size - len(drawn)), replace=False)
    return np.sort(np.concatenate([drawn, more]))


def under_model(state: RunState, setup: Setup, suspects: Suspects) -> Tensor:
    """The outputs [n, ...] of the final model for these examples."""
    return _finite(Outputs(setup).of(state.parameters, suspects.indices))


def under_updates(state: RunState, setup: Setup, suspects: Suspects, cohort: np.ndarray) -> Tensor:
    """The outputs [n, ...] for these examples of the models that a server makes of what it reads in the next round.

    Of a client's update, the model with which that client ended; where the server reads a sum alone, the one model
    that all of the cohort ended with on average. The next round is one that trains, see `in_a_round_that_trains`.
    cohort: who sends, int64.
    """
    setup, state = without_traces(setup), in_a_round_that_trains(state, setup)
    clients = np.unique(suspects.owners)
    if setup.parts.transport.reveals == "sum":
        model = state.parameters + mean_of(state, setup, cohort).to(state.parameters)
        return _finite(Outputs(setup).of(model, suspects.indices))
    models, outputs = Outputs(setup), []
    for start in range(0, len(clients), setup.shard_size):
        shard = clients[start : start + setup.shard_size]
        rows = dict(zip(shard.tolist(), read_models(state, setup, shard, cohort), strict=True))
        mine = suspects.of(shard)
        sizes = np.zeros(int(shard.max()) + 1, np.int64)
        sizes[shard] = [int((mine.owners == client).sum()) for client in shard]
        outputs.append(models.of_each(rows.__getitem__, mine.indices, sizes))
    return _finite(torch.cat(outputs))


def read_models(state: RunState, setup: Setup, clients: np.ndarray, cohort: np.ndarray) -> Tensor:
    """What clients received, moved by their updates as the server decodes these, [c, P]."""
    model = broadcast(setup, state, cohort.tolist()).model
    order = order_of(state, model, clients, weights_of(clients, setup), cohort)
    decoded = compress(setup.worker, order, train(setup.worker, order)).decoded
    return received(setup.worker, order, None) + decoded.to(model)


def mean_of(state: RunState, setup: Setup, cohort: np.ndarray) -> Tensor:
    """The mean update [P] of a cohort, where the server reads no more."""
    model = broadcast(setup, state, cohort.tolist()).model
    return aggregated(setup, state.round, reports_of(state, setup, model, cohort), cohort)


def reports_of(
    state: RunState, setup: Setup, model: Tensor, cohort: np.ndarray, compress: Compress = compress
) -> list[ShardReport]:
    """The reports of a round, without a protocol, in which all of a cohort, who received `model`, are heard."""
    weights = weights_of(cohort, setup)
    return [
        run_shard(
            setup.worker,
            order_of(state, model, cohort[part], weights[part], cohort),
            compress=compress,
        )
        for part in parts_of_cohort(len(cohort), setup.shard_size)
    ]


def parts_of_cohort(num_clients: int, size: int) -> Sequence[slice]:
    """A cohort cut into shards of at most `size` clients."""
    return [slice(start, start + size) for start in range(0, num_clients, size)]


def _finite(outputs: Tensor) -> Tensor:
    if not are_finite(outputs):
        raise Diverged("leakage: a model's outputs on the examples about which is asked are not finite")
    return outputs.cpu()
