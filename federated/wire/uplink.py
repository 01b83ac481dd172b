"""The uplink: the clients' updates on their way to the server, and the weight of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from federated.algorithms import Rows, Tensors
from federated.compressors import CohortState, Trait
from federated.foundation.randomness import Generators, NoiseSource, Purpose, generator
from federated.local_training import Updates
from federated.privacy import Privacy
from federated.run.clients.client_half import finished, settled, trained_of, upload
from federated.run.clients.order import ShardOrder
from federated.run.memory import ALGORITHM, BESIDE, CLUSTER, PRIVACY, UPLINK, rows_of
from federated.run.worker import Worker
from federated.transports import Sending
from federated.wire.beside import encoded, plain
from federated.wire.by_rank import decoded_updates, encoded_updates
from federated.wire.distortion import Distortion, bias_share, distortion, is_exact
from federated.wire.ledger import Traffic, weighed
from federated.wire.payload_files import dump

_IN_SUM = 2  # a client's other secret numbers of a round are of its bound, and of its keys


class Received(NamedTuple):
    """The data that the server receives from a shard.

    decoded: updates as the server reads them, float32 [c, P] on the CPU, none where it reads a sum alone, of which
    `travelled` are the payloads; sent: the extra data as the server reads it,
    name -> [c, n]; memory: owner -> the new memory of these clients;
    traffic: bytes by part and client; clipped_clients: the number of updates changed before encoding, of which
    zeroed_clients were not finite and count as zeros;
    distortion: the error of the decoded updates against the clipped ones, where it is measured.
    """

    decoded: Tensor
    sent: Rows
    memory: dict[str, Rows]
    traffic: Traffic
    clipped_clients: int
    zeroed_clients: int
    distortion: Distortion
    travelled: list[bytes]


def compress(worker: Worker, order: ShardOrder, updates: Updates) -> Received:
    """Bound, encode, count and decode, also what an algorithm sends besides; what others tell is 32-bit floats.

    Where the transport is a protocol, its messages count and not these payloads: `federated.shards.meeting`.

    The algorithm's client half is finished last, so that what a client remembers can be of what the server reads.

    Running statistics of batch normalisation that travel are a second payload of plain 32-bit floats: a clipped or
    quantised variance could become negative.
    """
    trainable, parts = worker.model.num_trainable, worker.parts
    moving, clients = parts.travelling.num_moving, order.clients.tolist()
    trained = trained_of(worker, order, updates)
    made, zeroed_clients = upload(worker, order, updates, trained)
    bounded, clipped_clients, told = _bounded(worker, order, parts.travelling.of(made))
    numbers: Sequence[np.random.Generator] = Generators(
        worker.config.seed, Purpose.COMPRESSION, order.done, clients
    )
    if parts.privacy.in_sum is not None:  # the codec adds the noise
        noise = NoiseSource(worker.config.seed, worker.config.privacy.secure)
        numbers = noise.of_clients(order.done, clients, _IN_SUM)
    before = _remembered(worker, order, moving)
    payloads, remembered = encoded_updates(worker, order, bounded, before, numbers)
    sending = Sending(worker.config.seed, order.done, order.clients, order.cohort)
    travelled = parts.transport.protect(payloads, sending)
    each, messages = parts.transport.reveals == "each", parts.transport.protocol is not None
    read = parts.transport.open(travelled, sending) if each else payloads
    decoded = decoded_updates(worker, order, read)
    again = parts.privacy.bound_again
    summed = decoded if again is None else again(_heard(parts.privacy, order), decoded)
    whole = parts.travelling.back(summed, decoded.new_zeros(trainable))
    if trained is not None:
        trained = trained._replace(read=whole.to(updates.deltas))
    memory, of_algorithm = finished(worker, order, updates, trained)
    beside, lost_beside = encoded(worker, order, of_algorithm)
    if not all(sent.exact for sent in beside.values()):
        heard = {name: sent.rows for name, sent in beside.items()}
        memory[ALGORITHM] = settled(worker, memory[ALGORITHM], of_algorithm, heard)
    beside |= {name: plain(rows) for name, rows in told.items()}
    names = [*beside]
    clusters = parts.algorithm.clusters
    if clusters is not None and clusters.chosen_by_clients and updates.clusters is not None:
        beside[CLUSTER] = plain(torch.from_numpy(updates.clusters).float()[:, None])  # exact up to 2^24
    if updates.deltas.shape[1] > trainable:
        moved = updates.deltas[:, trainable:]
        statistics = plain(parts.travelling.statistics_of(moved))
        unmoved = statistics.rows.new_zeros(moved.shape[1])
        whole = torch.cat([whole, parts.travelling.statistics_back(statistics.rows, unmoved)], dim=1)
        beside = {"statistics": statistics, **beside} if parts.travelling.num_statistics else beside
    parcels = [
        [
            *([] if messages else [("update", payload)]),
            *((part, sent.payloads[at]) for part, sent in beside.items()),
        ]
        for at, payload in enumerate(travelled)
    ]
    dump(worker.config, order.done, "uplink", clients, parcels)
    measured = worker.config.compression.quality
    return Received(
        decoded=whole if each else whole.new_empty(0, whole.shape[1]),
        sent={name: beside[name].rows for name in names},
        memory={**memory, UPLINK: remembered, BESIDE: lost_beside},
        traffic=weighed(parcels),
        clipped_clients=clipped_clients + zeroed_clients,  # zeros are never clipped
        zeroed_clients=zeroed_clients,
        distortion=_quality(worker, order, bounded, decoded, remembered) if measured else {},
        travelled=[] if each else travelled,
    )


def _bounded(worker: Worker, order: ShardOrder, updates: Tensor) -> tuple[Tensor, int, Rows]:
    """(the updates, how many of them changed, what their clients tell besides)."""
    privacy, config = worker.parts.privacy, worker.config
    if privacy.bound is None:
        return updates, 0, {}
    noise = NoiseSource(config.seed, config.privacy.secure)
    numbers = noise.of_clients(order.done, order.clients.tolist())
    found = privacy.bound(_heard(privacy, order), updates, numbers)
    return found.updates, int(found.changed.sum()), dict(found.told)


def _heard(privacy: Privacy, order: ShardOrder) -> Tensors:
    """What the clients hear of the mechanism's memory."""
    memory = order.server.get(PRIVACY, {})
    return {name: memory[name] for name in privacy.hears}


_BIAS_EVERY = 10
"""Interval in rounds at which one client of a shard encodes twice; this costs at most a tenth of the uplink."""


def _quality(
    worker: Worker, order: ShardOrder, bounded: Tensor, decoded: Tensor, remembered: CohortState
) -> Distortion:
    """The error of the uplink, and every tenth round the share of it that is bias, where the uplink claims none."""
    found = distortion(worker.parts.uplink, bounded, decoded, remembered)
    unbiased = Trait.UNBIASED in worker.parts.uplink.traits and not is_exact(worker.parts.uplink)
    if order.done % _BIAS_EVERY or not unbiased or not len(order.clients):
        return found
    update = bounded[:1]
    again = generator(worker.config.seed, Purpose.COMPRESSION, order.done, int(order.clients[0]), 1)
    payloads, _ = worker.parts.uplink.encode(worker.parts.uplink.init(1, update.shape[1]), update, [again])
    second = worker.parts.uplink.decode(payloads, update.shape[1]).to("cpu", torch.float32)
    return {**found, "bias_share": bias_share(update[0].cpu(), decoded[0], second[0])}


def _remembered(worker: Worker, order: ShardOrder, num_parameters: int) -> CohortState:
    """The compressor's state of these clients, stacked; fresh for clients that have not sent anything yet."""
    fresh = worker.parts.uplink.init(1, num_parameters)
    of_one = {name: value[0].to(order.model.device) for name, value in fresh.items()}
    return rows_of(order.own, UPLINK, order.clients.tolist(), of_one)
