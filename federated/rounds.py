"""THE LOOP: sample a cohort, broadcast, train, encode, decode, aggregate, step the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from federated.aggregators import Aggregator, weighted_sum
from federated.algorithms import Heard, Tensors
from federated.foundation.errors import Diverged
from federated.local_training import Updates
from federated.metrics import Metrics
from federated.run.clients.client_half import received, terms_of
from federated.run.clients.cohort import count_of, sample_cohort, weights_of
from federated.run.divergence import check_model, check_updates
from federated.run.drift import Drift, drift, drift_metrics
from federated.run.memory import (
    ALGORITHM,
    DOWNLINK,
    ClientMemory,
    by_client,
    with_clients,
    with_server,
)
from federated.run.round_report import RoundReport
from federated.run.setup import Setup
from federated.run.state import RunState
from federated.run.without_server import train_alone
from federated.user_code.containment import own_code_named
from federated.wire.distortion import Distortion, distortion_metrics
from federated.wire.downlink import broadcast
from federated.wire.ledger import Traffic, joined, ledger_metrics, total_bytes, weighed
from federated.wire.payload_files import dump
from federated.wire.uplink import Received, compress


class Partial(NamedTuple):
    """The contribution of a shard to its round.

    update: the shard's part [P] of the aggregate, float64 on the CPU; where the aggregator needs the whole cohort, the
    shard's updates, float32 [c, P]. sent: its part [T] of the mean of the clients' extra data. weights: float64 [c];
    counted: the clients' total weight before the division by that of the cohort.
    """

    update: Tensor
    sent: Tensors
    weights: np.ndarray
    counted: float
    loss: float
    uplink: Traffic
    clipped_clients: int
    distortion: Distortion
    clients: ClientMemory
    training_seconds: float
    compression_seconds: float
    drift: Drift | None = None


class Stages(NamedTuple):
    """The stages of a round as functions, which an orchestrator can run as separate tasks."""

    train: Callable[[Setup, RunState, Tensor, Sequence[int]], Updates]
    compress: Callable[[Setup, RunState, Updates], Received]
    aggregate: Callable[[Setup, RunState, Sequence[Partial]], RunState]


def train_rounds(
    state: RunState,
    setup: Setup,
    until: int,
    stages: Stages | None = None,
    on_round: Callable[[RunState], None] = lambda state: None,
) -> RunState:
    """Run rounds until `until` are done; each adds its metrics to the history.

    on_round is called with the state after each round, to display it. Raises Diverged, with the history so far.
    """
    while state.round < until:
        try:
            with own_code_named(setup.config):
                state, report = run_round(state, setup, stages or STAGES)
        except Diverged as error:
            raise Diverged(str(error), tuple(state.history)) from error
        state = replace(state, history=state.history.then((report.round, report.metrics(state))))
        on_round(state)
    return state


def run_round(state: RunState, setup: Setup, stages: Stages) -> tuple[RunState, RoundReport]:
    """One round of federated learning, or of training without a server."""
    if not setup.config.kind.has_server:
        return _round_alone(state, setup, stages)
    cohort = sample_cohort(setup, state.round)
    weights = weights_of(cohort, setup)
    model, parcels, remembered, quality = broadcast(setup, state, cohort.tolist())
    dump(setup.config, state.round, "downlink", cohort.tolist(), parcels)
    downlink = weighed(parcels)
    shards = _shards(len(cohort), setup.shard_size)
    partials = [_run_shard(state, setup, stages, model, cohort[shard], weights[shard]) for shard in shards]
    started = time.perf_counter()
    after = stages.aggregate(setup, state, partials)
    after = replace(
        after,
        downlink_bytes=state.downlink_bytes + total_bytes(downlink),
        server=with_server(after.server, DOWNLINK, remembered),
    )
    return after, RoundReport(
        round=after.round,
        loss=sum(partial.loss for partial in partials),
        cohort_clients=len(cohort),
        cohort_examples=int(setup.federation.sizes[cohort].sum()),
        update_norm=float(torch.linalg.vector_norm(after.parameters - state.parameters)),
        drift=drift_metrics([partial.drift for partial in partials if partial.drift is not None]),
        communication={**_communication(partials, downlink, state.parameters.numel()), **quality},
        clipped_clients=sum(partial.clipped_clients for partial in partials),
        training_seconds=sum(partial.training_seconds for partial in partials),
        compression_seconds=sum(partial.compression_seconds for partial in partials),
        aggregation_seconds=time.perf_counter() - started,
    )


def _round_alone(state: RunState, setup: Setup, stages: Stages) -> tuple[RunState, RoundReport]:
    """A round without a server. Nothing is sent, so no bytes are counted."""
    started = time.perf_counter()
    after, turn = train_alone(state, setup, stages.train)
    sizes = setup.trainers.holders.sizes[turn.holders]
    return after, RoundReport(
        round=after.round,
        loss=float(sizes / sizes.sum() @ turn.losses),
        cohort_clients=len(turn.holders),
        cohort_examples=int(sizes.sum()),
        update_norm=None if setup.config.kind.own_models else float(turn.norms[0]),
        drift={},
        communication={"communication/uplink_bytes": 0, "communication/downlink_bytes": 0},
        clipped_clients=0,
        training_seconds=time.perf_counter() - started,
        compression_seconds=0.0,
        aggregation_seconds=0.0,
    )


def _communication(partials: Sequence[Partial], downlink: Traffic, num_parameters: int) -> Metrics:
    return {
        **ledger_metrics("uplink", joined([partial.uplink for partial in partials]), num_parameters),
        **ledger_metrics("downlink", downlink, num_parameters),
        **distortion_metrics([partial.distortion for partial in partials]),
    }


def train(setup: Setup, state: RunState, model: Tensor, shard: Sequence[int]) -> Updates:
    """Local training of a shard of the cohort. Raises Diverged where an update is not finite."""
    terms = terms_of(setup, state, shard)
    updates = setup.worker.train(received(setup, state, model, shard), shard, state.round, terms)
    check_updates(setup, state.round, updates.deltas, shard, terms)
    return updates


def aggregate(setup: Setup, state: RunState, partials: Sequence[Partial]) -> RunState:
    """Combine the shards and step the server. Raises Diverged where the resulting model is not finite."""
    mean_update = _aggregated(setup.parts.aggregator, partials).to(state.parameters)
    trainable = setup.model.num_trainable
    names = dict.fromkeys(name for partial in partials for name in partial.sent)
    heard = Heard(
        mean_update[:trainable],
        {name: _sum([partial.sent[name] for partial in partials]).to(state.parameters) for name in names},
        sum(partial.counted for partial in partials) / count_of(setup.trainers.eligible, setup),
    )
    server, stepped = setup.parts.algorithm.update(
        state.server.get(ALGORITHM, {}), state.parameters[:trainable], heard
    )
    # Running statistics are always averaged; the algorithm's server step is for trainable parameters only.
    parameters = torch.cat([stepped, state.parameters[trainable:] + mean_update[trainable:]])
    check_model(setup, state.round, parameters)
    uplink_bytes = state.uplink_bytes + sum(total_bytes(partial.uplink) for partial in partials)
    return replace(
        state,
        round=state.round + 1,
        parameters=parameters,
        server=with_server(state.server, ALGORITHM, server),
        clients=with_clients(state.clients, [partial.clients for partial in partials]),
        uplink_bytes=uplink_bytes,
    )


def _aggregated(aggregator: Aggregator, partials: Sequence[Partial]) -> Tensor:
    """The update [P] of the whole cohort."""
    if aggregator.linear:
        return _sum([partial.update for partial in partials])
    weights = np.concatenate([partial.weights for partial in partials])
    return aggregator.reduce(weights, torch.cat([partial.update for partial in partials]))


def _sum(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum(dim=0)


STAGES = Stages(train, compress, aggregate)


def _run_shard(
    state: RunState, setup: Setup, stages: Stages, model: Tensor, clients: np.ndarray, weights: np.ndarray
) -> Partial:
    started = time.perf_counter()
    updates = stages.train(setup, state, model, clients.tolist())
    trained = time.perf_counter()
    heard = stages.compress(setup, state, updates)
    measured = setup.config.evaluation.drift
    return Partial(
        update=setup.parts.aggregator.reduce(weights, heard.decoded)
        if setup.parts.aggregator.linear
        else heard.decoded,
        sent={name: weighted_sum(weights, rows) for name, rows in heard.sent.items()},
        weights=weights,
        counted=count_of(clients, setup),
        loss=float(weights @ updates.losses.double().numpy()),
        uplink=heard.traffic,
        clipped_clients=heard.clipped_clients,
        distortion=heard.distortion,
        drift=drift(setup.parts.travelling.of(updates.deltas[:, : setup.model.num_trainable]))
        if measured
        else None,
        clients={owner: by_client(rows, clients) for owner, rows in heard.memory.items()},
        training_seconds=trained - started,
        compression_seconds=time.perf_counter() - trained,
    )


def _shards(num_clients: int, size: int) -> list[slice]:
    """The cohort cut into shards of at most `size` clients."""
    return [slice(start, start + size) for start in range(0, num_clients, size)]
