"""The promise to each client, where each has an epsilon of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from federated.privacy import LocalSteps
from federated.privacy.accounting import spent
from federated.privacy.accounting.by_client import epsilons_by_client
from federated.run.setup import Setup

if TYPE_CHECKING:
    from federated.privacy.privacy import Event


def promise_table(setup: Setup, done: int) -> dict[str, list[Any]]:
    """One row for each client with examples, after so many rounds; empty where all have the same epsilon, or none.

    epsilon is exact where few differ, and otherwise rounded up: see `epsilons_by_client`.
    """
    promise = setup.promise
    if promise is None or not done:
        return {}
    of = promise.participated(promise.last_round if promise.stops else done)
    if (local := of.local_steps) is None:
        return {}

    def event_of(one: LocalSteps) -> Event:
        return promise.guarantee(of._replace(local_steps=one))

    worst = spent(promise.guarantee(of), promise.delta).epsilon
    clients = setup.trainers.eligible
    return {
        "client": [setup.federation.names[client] for client in clients.tolist()],
        "training_examples": setup.federation.sizes[clients].tolist(),
        "rounds_heard": local.turns.tolist(),
        "steps": local.steps.tolist(),
        "share_of_a_batch": local.shares.tolist(),
        "epsilon": epsilons_by_client(local, event_of, promise.delta, worst).tolist(),
    }
