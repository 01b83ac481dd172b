"""The uplink: updates on their way to the server, and what each weighs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from federated.compressors import CohortState
from federated.compressors.none import none
from federated.foundation.randomness import Generators, Purpose, generator
from federated.local_training import Updates
from federated.run.memory import UPLINK, rows_of
from federated.run.setup import Setup
from federated.run.state import RunState
from federated.wire.distortion import Distortion, bias_share, distortion, is_exact
from federated.wire.ledger import Traffic, weighed
from federated.wire.payload_files import dump


class Received(NamedTuple):
    """What the server hears from a shard.

    decoded: updates as the server reads them, float32 [c, P] on the CPU; compressor_state: what its clients remember;
    traffic: bytes by part and client; clipped_clients: how many updates were bounded before encoding;
    distortion: how far what was decoded is from the bounded updates, where it is measured.
    """

    decoded: Tensor
    compressor_state: CohortState
    traffic: Traffic
    clipped_clients: int
    distortion: Distortion


def compress(setup: Setup, state: RunState, updates: Updates) -> Received:
    """Bound, encode, count, decode.

    Running statistics of batch normalisation, where the model has any, are a second payload of plain 32-bit
    floats: bounded or quantised, a variance could turn negative.
    """
    trainable = setup.model.num_trainable
    bounded, clipped = setup.privacy.clip(updates.deltas[:, :trainable])
    clients = updates.client_ids.tolist()
    numbers = Generators(setup.config.seed, Purpose.COMPRESSION, state.round, clients)
    payloads, remembered = setup.uplink.encode(
        _remembered(setup, state, clients, trainable), bounded, numbers
    )
    decoded = setup.uplink.decode(payloads, trainable).to("cpu", torch.float32)
    statistics, beside = _plain(updates.deltas[:, trainable:])
    whole = torch.cat([decoded, statistics], dim=1) if beside else decoded
    parcels = [
        [("update", payload), *(("statistics", other) for other in beside[at : at + 1])]
        for at, payload in enumerate(payloads)
    ]
    dump(setup.config, state.round, "uplink", clients, parcels)
    measured = setup.config.compression.quality
    return Received(
        decoded=whole,
        compressor_state=remembered,
        traffic=weighed(parcels),
        clipped_clients=int(clipped.sum()),
        distortion=_quality(setup, state, bounded, decoded, remembered, clients) if measured else {},
    )


_BIAS_EVERY = 10
"""Rounds between two in which one client of a shard encodes twice, so that it costs a tenth of the uplink at most."""


def _quality(
    setup: Setup,
    state: RunState,
    bounded: Tensor,
    decoded: Tensor,
    remembered: CohortState,
    clients: Sequence[int],
) -> Distortion:
    """What the uplink lost, and in every tenth round how much of that is bias, where it claims none."""
    found = distortion(setup.uplink, bounded, decoded, remembered)
    if state.round % _BIAS_EVERY or not setup.uplink.unbiased or is_exact(setup.uplink) or not clients:
        return found
    update = bounded[:1]
    again = generator(setup.config.seed, Purpose.COMPRESSION, state.round, clients[0], 1)
    payloads, _ = setup.uplink.encode(setup.uplink.init(1, update.shape[1]), update, [again])
    second = setup.uplink.decode(payloads, update.shape[1]).to("cpu", torch.float32)
    return {**found, "bias_share": bias_share(update[0].cpu(), decoded[0], second[0])}


def _plain(rows: Tensor) -> tuple[Tensor, list[bytes]]:
    """(rows [c, n] as the server reads them, payloads) sent as 32-bit floats; nothing at all where n is 0."""
    if not rows.shape[1]:
        return rows, []
    payloads, _ = none().encode({}, rows, ())
    return none().decode(payloads, rows.shape[1]), payloads


def _remembered(setup: Setup, state: RunState, clients: Sequence[int], num_parameters: int) -> CohortState:
    """The compressor's state of these clients, stacked; fresh for those that never sent anything."""
    fresh = setup.uplink.init(1, num_parameters)
    of_one = {name: value[0].to(state.parameters.device) for name, value in fresh.items()}
    return rows_of(state.clients, UPLINK, clients, of_one)
