"""The ledger of each client: the rounds it has taken part in, and what it has sent and received in them.

It lies in the server's memory, and so in checkpoints, where the clients are few enough to be looked at one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from federated.run.memory import LEDGER, ServerMemory, with_server
from federated.run.setup import Setup
from federated.run.state import RunState
from federated.shards.report import ShardReport
from federated.wire.ledger import Traffic, joined

MOST_CLIENTS = 1_000
"""Of more clients no ledger is kept."""
ROUNDS, UPLINK, DOWNLINK = range(3)
"""The rows of the ledger, each with a number a client: rounds, and bytes."""
_TABLE = "by_client"


def ledger_of(state: RunState) -> np.ndarray | None:
    """The ledger after a round, int64 [3, K]; None where none is kept."""
    kept = state.server.get(LEDGER)
    return None if kept is None else kept[_TABLE].numpy(force=True)


def with_cohort(
    setup: Setup,
    before: RunState,
    server: ServerMemory,
    cohort: np.ndarray,
    traffic: tuple[Sequence[ShardReport], Traffic, Traffic] = ((), {}, {}),
) -> ServerMemory:
    """The server's memory with one more round in its ledger.

    before: the state before the round; a run that went on from a checkpoint without a ledger never has one. cohort: all
    that trained or were asked to. traffic: the reports of the clients' shards, what clients sent in a round that was
    given up, and what the cohort received.
    """
    clients = len(setup.federation.clients)
    ledger = ledger_of(before) if before.round else np.zeros((3, clients), np.int64)
    if ledger is None or clients > MOST_CLIENTS or setup.trainers.kind.pools_examples:
        return server
    reports, wasted, downlink = traffic
    after = ledger.copy()
    after[ROUNDS, cohort] += 1
    after[DOWNLINK, cohort] += _each(downlink, len(cohort))
    # Where a protocol carries the messages, also those send some that are lost on the way.
    is_protocol = setup.parts.transport.protocol is not None
    senders = cohort if is_protocol else np.concatenate([cohort[:0], *(each.clients for each in reports)])
    sent = joined([report.uplink for report in reports]) if reports else wasted
    after[UPLINK, senders] += _each(sent, len(senders))
    return with_server(server, LEDGER, {_TABLE: torch.from_numpy(after)})


def _each(traffic: Traffic, clients: int) -> np.ndarray:
    """The bytes of each of so many clients, of all parts together; zeros where there are none."""
    found = np.zeros(clients, np.int64)
    for part in traffic.values():
        if len(part):
            found += part
    return found
