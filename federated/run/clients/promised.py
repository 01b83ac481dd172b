"""What is promised to each client, where each has an epsilon of its own."""

from __future__ import annotations

from typing import Any

from federated.run.setup import Setup


def promise_table(setup: Setup, done: int) -> dict[str, list[Any]]:
    """One row for each client with examples, after so many rounds; empty where all have the same epsilon, or none.

    epsilon is exact where few differ, and otherwise rounded up: see `epsilons_by_client`.
    """
    promise = setup.promise
    if promise is None or (found := promise.by_client(done)) is None:
        return {}
    local, clients = found.local, setup.trainers.eligible
    return {
        "client": [setup.federation.names[client] for client in clients.tolist()],
        "training_examples": setup.federation.sizes[clients].tolist(),
        "rounds_heard": local.turns.tolist(),
        "steps": local.steps.tolist(),
        "share_of_a_batch": local.shares.tolist(),
        "epsilon": found.epsilons.tolist(),
    }
