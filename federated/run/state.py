"""RunState: everything the next round depends on."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from federated.run.memory import ClientMemory, ServerMemory


@dataclass(frozen=True)
class RunState:
    """The state of a run between two rounds. Immutable; each round returns a new one.

    round: rounds done.
    parameters: the global model [P].
    server: the memory of each part of the run at the server.
    clients: the memory of each part for every client that has taken part.
    uplink_bytes, downlink_bytes: bytes sent so far, over all clients.
    """

    round: int
    parameters: Tensor
    server: ServerMemory = field(default_factory=dict)
    clients: ClientMemory = field(default_factory=dict)
    uplink_bytes: int = 0
    downlink_bytes: int = 0
