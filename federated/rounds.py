"""THE LOOP: sample a cohort, broadcast, train, encode, decode, aggregate, step the server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from federated.algorithms import Heard
from federated.machine.meters import Meter
from federated.machine.queueing import own_seconds
from federated.metrics import Metrics
from federated.run.clients.canaries import is_of_canaries, with_release, with_traces
from federated.run.clients.cohort import next_cohort, weights_of
from federated.run.clients.order import order_of
from federated.run.divergence import check_model
from federated.run.drift import drift_metrics
from federated.run.memory import (
    ADAPTERS,
    ALGORITHM,
    DOWNLINK,
    HELD,
    PRIVACY,
    with_clients,
    with_server,
)
from federated.run.preparing.meetings import gives_up, meeting_of, why_lost
from federated.run.round_report import RoundReport, used_metrics
from federated.run.setup import Setup
from federated.run.state import RunState
from federated.run.without_server import train_alone
from federated.shards import ShardReport, ShardRunner, ShardTrainer, in_this_process, trained_in_this_process
from federated.shards.adapters import adapter_metrics, with_adapters
from federated.shards.by_client import with_cohort
from federated.shards.by_cluster import mean_of, of_clients, of_clusters
from federated.shards.meeting import meet
from federated.shards.of_canaries import bounded_gradients, canary_metrics, mean_loss, zeroed_clients
from federated.shards.releasing import released
from federated.shards.remembering import remembering
from federated.shards.server_step import server_step, share_of
from federated.shards.shard import shards_among
from federated.shards.sums import aggregated, sent_by, total
from federated.user_code.containment import own_code_named
from federated.wire.distortion import distortion_metrics
from federated.wire.downlink import broadcast
from federated.wire.ledger import Traffic, joined, ledger_metrics, total_bytes, weighed
from federated.wire.payload_files import dump


class Stages(NamedTuple):
    """The stages of a round as functions, which an orchestrator can run elsewhere or as separate tasks.

    train_shards is what a round without a server has of its shards; `run_shards` has all of it.
    """

    train_shards: ShardTrainer
    run_shards: ShardRunner
    aggregate: Callable[[Setup, RunState, Sequence[ShardReport]], RunState]


def train_rounds(
    state: RunState,
    setup: Setup,
    until: int,
    stages: Stages | None = None,
    measured: Callable[[RunState, Metrics], None] = lambda state, metrics: None,
) -> RunState:
    """Run rounds until `until` are done. Raises Diverged.

    measured: called after each round with the new state and the metrics of that round.
    """
    while state.round < until:
        meter = Meter()
        with own_code_named(setup.config):
            state, report = run_round(state, setup, stages or STAGES)
        measured(
            state, {**report.metrics(state), **used_metrics(setup.config, setup.inputs.device, meter.used())}
        )
    return state


def run_round(state: RunState, setup: Setup, stages: Stages) -> tuple[RunState, RoundReport]:
    """One round of federated learning, or of training without a server."""
    if not setup.config.kind.has_server:
        return _round_alone(state, setup, stages)
    state, drawn, canaries = next_cohort(state, setup)
    meeting = meeting_of(setup.config, setup.trainers, state.round, drawn)
    lost = bool(why_lost(setup.parts, meeting))
    everybody, clients = drawn.clients.tolist(), drawn.heard
    if lost:  # its sum stays closed, so no client is heard
        clients, canaries = clients[:0], canaries[:0]
    cohort = np.concatenate([clients, canaries])
    weights = weights_of(cohort, setup)
    model, parcels, remembered, quality, heard, held = broadcast(setup, state, everybody)
    told = replace(state, server=heard)
    shards = shards_among(0, len(clients), setup.shard_size)
    of_canaries = shards_among(len(clients), len(cohort), setup.shard_size)
    orders = [order_of(told, model, cohort[shard], weights[shard], cohort) for shard in shards + of_canaries]
    every_report, memory = remembering(setup.store, stages.run_shards(setup.worker, orders))
    started = own_seconds()
    met = meet(setup, meeting, model, (every_report[: len(shards)], parcels), lost=lost)
    reports, parcels = met.reports, met.parcels
    every_report[: len(shards)] = reports
    dump(setup.config, state.round, "downlink", everybody, parcels)
    downlink = weighed(parcels)
    releases = setup.parts.privacy.release is not None  # it does so whether somebody took part or not
    silent = replace(state, round=state.round + 1)
    after = stages.aggregate(setup, state, every_report) if every_report or releases else silent
    after = with_traces(setup, state, after)
    after = replace(
        after,
        clients=with_clients(state.clients, memory),
        uplink_bytes=after.uplink_bytes + total_bytes(met.wasted),
        downlink_bytes=state.downlink_bytes + total_bytes(downlink),
        server=with_cohort(
            setup,
            state,
            with_server(with_server(after.server, DOWNLINK, remembered), HELD, held),
            drawn.clients,
            (reports, met.wasted, downlink),
        ),
    )
    return after, RoundReport(
        round=after.round,
        loss=mean_loss(reports, weights[: len(clients)], len(canaries)),
        cohort_clients=len(everybody),
        cohort_examples=int(setup.federation.sizes[everybody].sum()),
        update_norm=float(torch.linalg.vector_norm(after.parameters - state.parameters)),
        drift=drift_metrics([report.drift for report in reports if report.drift is not None]),
        communication={**_communication(reports, met.wasted, downlink, setup.model.num_sendable), **quality},
        clipped_clients=sum(report.clipped_clients for report in reports),
        training_seconds=sum(report.training_seconds for report in reports),
        compression_seconds=sum(report.compression_seconds for report in reports),
        aggregation_seconds=own_seconds() - started,
        canaries=canary_metrics(every_report[len(shards) :]) if setup.config.privacy.canaries else {},
        zeroed_clients=zeroed_clients(setup.worker, reports),
        bounded=bounded_gradients(reports),
        lost_clients=int(drawn.lost.sum()) if setup.parts.participation.losses else None,
        lost=lost if gives_up(setup.parts) else None,
        adapters=adapter_metrics(after) if every_report else {},
    )


def _round_alone(state: RunState, setup: Setup, stages: Stages) -> tuple[RunState, RoundReport]:
    """A round without a server. Nothing is sent, so no bytes are counted."""
    started = own_seconds()
    after, turn = train_alone(state, setup, stages.train_shards)
    after = replace(after, server=with_cohort(setup, state, after.server, turn.holders))
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
        training_seconds=own_seconds() - started,
        compression_seconds=0.0,
        aggregation_seconds=0.0,
    )


def _communication(
    reports: Sequence[ShardReport], wasted: Traffic, downlink: Traffic, num_parameters: int
) -> Metrics:
    uplink = joined([report.uplink for report in reports] or [wasted])
    updates = sum(len(report.clients) for report in reports)
    return {
        **ledger_metrics("uplink", uplink, num_parameters, updates),
        **ledger_metrics("downlink", downlink, num_parameters),
        **distortion_metrics([report.distortion for report in reports]),
    }


def aggregate(setup: Setup, state: RunState, reports: Sequence[ShardReport]) -> RunState:
    """Combine the shards and step the server. Raises Diverged where the resulting model is not finite.

    reports: none where no client was heard; only a privacy mechanism that releases makes such a round count.
    """
    trainable = setup.model.num_trainable
    cohort = np.concatenate([np.zeros(0, np.int64), *(report.clients for report in reports)])
    clusters = setup.parts.algorithm.clusters
    apart = (
        (None, None) if clusters is None else (of_clusters(clusters, reports), of_clients(clusters, reports))
    )
    by_cluster = apart[0] or apart[1]
    whole = aggregated(setup, state.round, reports, cohort) if by_cluster is None else mean_of(by_cluster)
    made, adapted = with_adapters(setup, state, whole, reports)
    mean_update = made.to(state.parameters)
    names = dict.fromkeys(name for report in reports for name in report.sent)
    sent = {name: total([report.sent[name] for report in reports]).to(state.parameters) for name in names}
    kept, update = released(setup, state, mean_update[:trainable], sent, len(cohort))
    of_algorithm = {name: sent[name] for name in setup.parts.algorithm.client.sends}
    heard = Heard(update, of_algorithm, share_of(cohort, setup), *apart)
    server, stepped = server_step(setup, state, heard)
    # Running statistics are always averaged; the algorithm's server step is for trainable parameters only.
    parameters = torch.cat([stepped, state.parameters[trainable:] + mean_update[trainable:]])
    check_model(setup.config, state.round, parameters)
    from_clients = [report for report in reports if not is_of_canaries(setup.worker, report.clients)]
    traced = with_release(setup, state, update, sent_by(setup, state.round, from_clients)[:trainable])
    uplink_bytes = state.uplink_bytes + sum(total_bytes(report.uplink) for report in from_clients)
    return replace(
        state,
        round=state.round + 1,
        parameters=parameters,
        server=with_server(
            with_server(with_server(traced, ALGORITHM, server), PRIVACY, kept), ADAPTERS, adapted
        ),
        uplink_bytes=uplink_bytes,
    )


STAGES = Stages(trained_in_this_process, in_this_process, aggregate)
