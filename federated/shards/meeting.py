"""The cohort's exchange of messages with the server, where the transport is a protocol."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from federated.foundation.randomness import NoiseSource
from federated.run.setup import Setup
from federated.shards.report import ShardReport
from federated.transports import Meeting
from federated.wire.ledger import Parcel, Traffic, weighed
from federated.wire.payload_files import dump

_STREAM = 1  # the clients' other secret numbers of a round are noise


class Met(NamedTuple):
    """reports: with the sum in place of payloads and with what all clients sent. parcels: what each client received.
    wasted: what clients sent in a round that was given up, which has no reports."""

    reports: list[ShardReport]
    parcels: list[Parcel]
    wasted: Traffic


def meet(
    setup: Setup,
    meeting: Meeting,
    model: Tensor,
    so_far: tuple[list[ShardReport], list[Parcel]],
    *,
    lost: bool,
) -> Met:
    """Carry the messages of a round, up to the step at which the server gives it up where the round is lost.

    The parties of the protocol meet here, in one process, whatever process trained them: what comes from a shard are
    integers that a real client would keep to itself. model: [P], as the cohort received it. so_far: the reports as they
    came from the shards, and what each client received; both stay where no protocol is stated, or no client takes part.
    """
    (reports, parcels), protocol, config = so_far, setup.parts.transport.protocol, setup.config
    if protocol is None or not (reports or lost):
        return Met(reports, parcels, weighed([]))
    clients, done = meeting.clients.tolist(), meeting.done
    meeting = meeting._replace(
        model=model.numpy(force=True).tobytes(),
        numbers=NoiseSource(config.seed, config.privacy.secure).of_clients(done, clients, _STREAM),
    )
    if lost:
        assert protocol.given_up is not None  # or the run is refused
        met = protocol.given_up(setup.parts.travelling.num_moving, meeting)
    else:
        met = protocol.run([payload for report in reports for payload in report.travelled], meeting)
    dump(config, done, "uplink", clients, met.uplink)
    told: list[Parcel] = [[*parcel, *more] for parcel, more in zip(parcels, met.downlink, strict=True)]
    if lost:
        return Met([], told, weighed(met.uplink))
    first, *others = reports
    summed = [
        first._replace(travelled=[met.total], uplink=weighed(met.uplink)),
        *(report._replace(travelled=[], uplink=weighed([])) for report in others),
    ]
    return Met(summed, told, weighed([]))
