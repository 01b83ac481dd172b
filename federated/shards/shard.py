"""A shard of a cohort: local training, then the uplink, then its part of the aggregate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from federated.aggregators import weighted_sum
from federated.algorithms.local_terms import LocalTerms
from federated.local_training import Updates
from federated.machine.queueing import own_seconds
from federated.run.clients.canaries import is_of_canaries, updates_of_canaries
from federated.run.clients.client_half import own_rows, received, second_of, start_of, terms_of
from federated.run.clients.clusters import clusters_of
from federated.run.clients.order import ShardOrder
from federated.run.divergence import check_kept, check_updates, counts_as_zeros, not_finite, with_zeros
from federated.run.drift import Drift, drift
from federated.run.preparing.local_steps import check_counted
from federated.run.worker import Worker
from federated.shards.products import products_of
from federated.shards.report import ShardReport
from federated.user_code.containment import own_code_named
from federated.wire.uplink import Received, compress

Train = Callable[[Worker, ShardOrder], Updates]
Compress = Callable[[Worker, ShardOrder, Updates], Received]
ShardRunner = Callable[[Worker, Iterable[ShardOrder]], Iterator[ShardReport]]
"""Runs the shards of a round, here or elsewhere, and yields their reports in the orders' order.

The worker is that of this process; a runner of other processes has one prepared from the same config in each. An order
is taken when there is a worker for it, so that no more of them are held than are worked on.
"""
ShardTrainer = Callable[[Worker, Iterable[ShardOrder]], Iterator[Updates]]
"""The same for a round without a server, which has of a shard its training alone."""


def train(worker: Worker, order: ShardOrder) -> Updates:
    """Local training of a shard. Raises Diverged where an update is not finite and that ends the run."""
    clusters = clusters_of(worker, order)
    terms, model = terms_of(worker, order), received(worker, order, clusters)
    _check_counted(worker, order, terms)
    start = start_of(worker, order, model)
    updates = worker.train(model, order.clients.tolist(), order.done, terms)
    if counts_as_zeros(worker):
        updates = _with_zeros(worker, order, updates)
    else:
        check_updates(worker, order, updates.deltas, terms)
        check_kept(worker, order, updates.kept or {})
    return updates._replace(start=start, second=_second(worker, order, model), clusters=clusters)


def _with_zeros(worker: Worker, order: ShardOrder, updates: Updates) -> Updates:
    """The updates, zeros where they or what clients would keep is not finite: these keep what they had."""
    kept = updates.kept or {}
    lost = torch.stack([not_finite(rows) for rows in (updates.deltas, *kept.values())]).any(dim=0)
    if lost.any() and kept:
        before = own_rows(worker, order)
        kept = {
            name: torch.where(
                lost.to(rows.device).view(-1, *[1] * (rows.dim() - 1)), before[name].to(rows), rows
            )
            for name, rows in kept.items()
        }
    return updates._replace(deltas=with_zeros(updates.deltas, lost), kept=updates.kept and kept, zeroed=lost)


def _check_counted(worker: Worker, order: ShardOrder, terms: LocalTerms) -> None:
    """Raise OwnCodeFailed where clients would take more private steps than their guarantee counts with."""
    if worker.work.per_example is None:
        return
    clients, start = order.clients.tolist(), worker.model.vector[: worker.model.num_trainable]
    sizes = [len(worker.work.clients[client]) for client in clients]
    check_counted(worker.parts.algorithm, worker.work.local, start, clients, sizes, terms)


def _second(worker: Worker, order: ShardOrder, received: Tensor) -> Tensor | None:
    """How far the models [c, T] of a second training of these clients moved; None where there is none."""
    if (asked := second_of(worker, order, received)) is None:
        return None
    deltas = worker.train(asked.start, order.clients.tolist(), order.done, asked.terms).deltas
    if counts_as_zeros(worker):
        return with_zeros(deltas, not_finite(deltas))
    check_updates(worker, order, deltas, asked.terms)
    return deltas


def run_shard(
    worker: Worker, order: ShardOrder, train: Train = train, compress: Compress = compress
) -> ShardReport:
    """A shard from its order to its report; canaries do not train. Raises Diverged as `train` does."""
    started, traced = own_seconds(), is_of_canaries(worker, order.clients)
    updates = updates_of_canaries(worker, order) if traced else train(worker, order)
    trained = own_seconds()
    heard = compress(worker, order, updates)
    weights, losses = order.weights, updates.losses.double().numpy()
    lost = ~np.isfinite(losses) if counts_as_zeros(worker) else np.zeros(len(losses), bool)
    decoded = _padded(worker, order, heard.decoded)
    return ShardReport(
        update=_part(worker, order, decoded, updates.clusters),
        sent={name: weighted_sum(weights, rows) for name, rows in heard.sent.items()},
        clients=order.clients,
        weights=weights,
        loss=float(weights @ np.where(lost, 0.0, losses)),
        uplink=heard.traffic,
        clipped_clients=heard.clipped_clients,
        distortion=heard.distortion,
        drift=_drift(worker, updates),
        memory=heard.memory,
        training_seconds=trained - started,
        compression_seconds=own_seconds() - trained,
        travelled=heard.travelled,
        clusters=updates.clusters,
        zeroed_clients=heard.zeroed_clients,
        products=products_of(worker, weights, decoded),
        without_loss=float(weights[lost].sum()),
        bounded=None if updates.bounded is None else _counts(updates.bounded),
    )


def _counts(bounded: Tensor) -> tuple[int, int]:
    longer, every = bounded.sum(dim=0).tolist()
    return int(longer), int(every)


def _padded(worker: Worker, order: ShardOrder, decoded: Tensor) -> Tensor:
    """The updates from the global model to the clients' own, which are zero where these have no adapter."""
    ranks = worker.parts.ranks
    return decoded if ranks is None else ranks.padded(decoded, order.model, order.clients.tolist())


def _part(worker: Worker, order: ShardOrder, decoded: Tensor, clusters: np.ndarray | None) -> Tensor:
    """The shard's part of the aggregate: a sum, one for each cluster where clients choose theirs, or every update."""
    aggregator, of_clusters = worker.parts.aggregator, worker.parts.algorithm.clusters
    each = of_clusters is not None and not of_clusters.chosen_by_clients
    if each or not aggregator.linear or worker.parts.transport.reveals == "sum":
        return decoded
    if clusters is None:
        return aggregator.reduce(order.weights, decoded)
    sums = [
        aggregator.reduce(order.weights * (clusters == number), decoded) for number in range(len(order.model))
    ]
    return torch.stack(sums)


def _drift(worker: Worker, updates: Updates) -> Drift | None:
    """The drift of the clients in the parameters that they send; None where it is not measured."""
    if not worker.config.evaluation.drift:
        return None
    return drift(worker.parts.travelling.of(updates.deltas[:, : worker.model.num_trainable]))


def in_this_process(
    worker: Worker, orders: Iterable[ShardOrder], train: Train = train, compress: Compress = compress
) -> Iterator[ShardReport]:
    """Run the shards one after another. Raises OwnCodeFailed where a user's code fails."""
    for order in orders:
        with own_code_named(worker.config):  # a StopIteration may not leave a generator
            report = run_shard(worker, order, train, compress)
        yield report


def trained_in_this_process(
    worker: Worker, orders: Iterable[ShardOrder], train: Train = train
) -> Iterator[Updates]:
    """Train the clients of one shard after another. Raises as `in_this_process` does."""
    for order in orders:
        with own_code_named(worker.config):
            updates = train(worker, order)
        yield updates


def shards_among(first: int, end: int, size: int) -> list[slice]:
    """A part of the cohort cut into shards of at most `size` clients."""
    return [slice(start, min(start + size, end)) for start in range(first, end, size)]
