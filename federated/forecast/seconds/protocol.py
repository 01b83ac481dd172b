"""The time that a round's exchange of messages takes, where the transport is a protocol."""

from __future__ import annotations

import numpy as np
import torch

from federated.foundation.randomness import Purpose, generator
from federated.machine.queueing import Stopwatch
from federated.participation.uniform import uniform
from federated.run.clients.cohort import expected_clients
from federated.run.setup import Setup
from federated.transports import Meeting
from federated.transports.plain import plain
from federated.trials import Parts

_FEW_CLIENTS = 10


def protocol_seconds(setup: Setup) -> float:
    """Seconds of a round: measured with at most ten clients, and as much longer as the messages to all are.

    Those are of keys, shares and signatures, one for each pair of neighbours, and so is nearly all of the work.
    """
    protocol = setup.parts.transport.protocol
    if protocol is None or not setup.config.kind.has_server:
        return 0.0
    clients = max(round(expected_clients(setup)), protocol.least(1))  # of fewer no round begins
    size, few = setup.parts.travelling.num_moving, min(clients, _FEW_CLIENTS)
    numbers = [generator(0, Purpose.FORECAST, client) for client in range(few)]
    codec = setup.parts.uplink
    payloads, _ = codec.encode({}, torch.zeros(few, size), numbers)
    stopwatch = Stopwatch()
    protocol.run(payloads, _meeting(few, numbers))
    seconds = stopwatch.taken().alone
    (_, less), (_, more) = (protocol.foreseen(size, _meeting(count)) for count in (few, clients))
    return seconds * more / less


def parts_of_probe(parts: Parts) -> Parts:
    """The parts for a probe, which asks for so many clients, of whom none is lost, fewer than a protocol may take."""
    transport = parts.transport if parts.transport.protocol is None else plain()
    return parts._replace(participation=uniform(), transport=transport)


def _meeting(clients: int, numbers: list[np.random.Generator] | None = None) -> Meeting:
    return Meeting(0, 0, np.arange(clients), np.zeros(clients, bool), numbers=numbers or ())
