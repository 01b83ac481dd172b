"""The time that a round's exchange of messages takes, where the transport is a protocol."""

from __future__ import annotations

import numpy as np
import torch

from federated.foundation.randomness import Purpose, generator
from federated.machine.queueing import NOTHING, Stopwatch, Taken
from federated.participation.uniform import uniform
from federated.run.clients.cohort import expected_clients
from federated.run.setup import Setup
from federated.transports import Meeting
from federated.transports.plain import plain
from federated.trials import Parts

_FEW_CLIENTS, _REPEATS, _LONG = 10, 3, 0.3
"""Clients and times of the trial, and seconds after which it is not repeated."""


def protocol_seconds(setup: Setup) -> Taken:
    """Seconds of a round: measured with at most ten clients, and as much longer as the messages to all are.

    The quickest of up to three times, as the first one warms up.

    Those are of keys, shares and signatures, one for each pair of neighbours, and so is nearly all of the work.
    """
    protocol = setup.parts.transport.protocol
    if protocol is None or not setup.config.kind.has_server:
        return NOTHING
    clients = max(round(expected_clients(setup)), protocol.least(1))  # of fewer no round begins
    size, few = setup.parts.travelling.num_moving, min(clients, _FEW_CLIENTS)
    numbers = [generator(0, Purpose.FORECAST, client) for client in range(few)]
    codec = setup.parts.uplink
    payloads, _ = codec.encode({}, torch.zeros(few, size), numbers)
    times = list[Taken]()
    while not times or (len(times) < _REPEATS and sum(each.alone for each in times) < _LONG):
        stopwatch = Stopwatch()
        protocol.run(payloads, _meeting(few, numbers))
        times.append(stopwatch.taken())
    (_, less), (_, more) = (protocol.foreseen(size, _meeting(count)) for count in (few, clients))
    return Taken(*(min(each) * more / less for each in zip(*times, strict=True)))


def parts_of_probe(parts: Parts) -> Parts:
    """The parts for a probe, which asks for so many clients, of whom none is lost, fewer than a protocol may take."""
    transport = parts.transport if parts.transport.protocol is None else plain()
    return parts._replace(participation=uniform(), transport=transport)


def _meeting(clients: int, numbers: list[np.random.Generator] | None = None) -> Meeting:
    return Meeting(0, 0, np.arange(clients), np.zeros(clients, bool), numbers=numbers or ())
