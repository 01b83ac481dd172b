"""The cohort's exchange of messages with the server, where the transport is a protocol."""

from __future__ import annotations

from torch import Tensor

from federated.foundation.randomness import NoiseSource
from federated.participation import Cohort
from federated.run.setup import Setup
from federated.shards.report import ShardReport
from federated.transports import Meeting
from federated.wire.ledger import Parcel, weighed
from federated.wire.payload_files import dump

_STREAM = 1  # the clients' other secret numbers of a round are noise


def meet(
    setup: Setup, done: int, cohort: Cohort, model: Tensor, so_far: tuple[list[ShardReport], list[Parcel]]
) -> tuple[list[ShardReport], list[Parcel]]:
    """(the reports with the sum in place of payloads and with what all clients sent, what each client received).

    The parties of the protocol meet here, in one process, whatever process trained them: what comes from a shard are
    integers that a real client would keep to itself. model: [P], as the cohort received it. so_far: the reports as they
    came from the shards, and what each client received; both stay where no protocol is stated, or nobody is heard.
    """
    (reports, parcels), protocol, config = so_far, setup.parts.transport.protocol, setup.config
    if protocol is None or not reports:
        return so_far
    clients = cohort.clients.tolist()
    meeting = Meeting(
        config.seed,
        done,
        cohort.clients,
        cohort.lost,
        model.numpy(force=True).tobytes(),
        NoiseSource(config.seed, config.privacy.secure).of_clients(done, clients, _STREAM),
    )
    protocol.check(setup.parts.travelling.num_moving, meeting)
    met = protocol.run([payload for report in reports for payload in report.travelled], meeting)
    dump(config, done, "uplink", clients, met.uplink)
    first, *others = reports
    summed = [
        first._replace(travelled=[met.total], uplink=weighed(met.uplink)),
        *(report._replace(travelled=[], uplink=weighed([])) for report in others),
    ]
    return summed, [[*parcel, *told] for parcel, told in zip(parcels, met.downlink, strict=True)]
