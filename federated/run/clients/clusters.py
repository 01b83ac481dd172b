"""The clusters of clients: which of the server's models each trains and is evaluated with."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from federated.algorithms import Rows
from federated.local_training.at_start import at_start
from federated.machine.cores import threads_of
from federated.run.clients.order import ShardOrder
from federated.run.memory import ALGORITHM, CLUSTER
from federated.run.state import RunState
from federated.run.worker import Worker

if TYPE_CHECKING:
    from federated.run.setup import Setup


def clusters_of(worker: Worker, order: ShardOrder) -> np.ndarray | None:
    """The cluster in which each of these clients trains, int64 [c]; None where the server has one model.

    The order's model is then [k, P], those that these clients receive.
    """
    clusters = worker.parts.algorithm.clusters
    if clusters is None:
        return None
    clients = order.clients.tolist()
    if clusters.assigned is None:
        return lowest_loss(worker, order.model, clients)
    return clusters.assigned(order.server.get(ALGORITHM, {}), clients)


def lowest_loss(worker: Worker, models: Tensor, clients: Sequence[int]) -> np.ndarray:
    """The model of [k, P] with the lowest loss on each client's training examples, int64 [c]; of equal the first."""
    if len(models) == 1:
        return np.zeros(len(clients), np.int64)
    threads = threads_of(worker.config.orchestration.threads)
    losses = [at_start(worker.work, model, clients, threads, gradients=False).losses for model in models]
    found = torch.stack(losses).double().numpy(force=True)
    lowest: np.ndarray = np.where(np.isnan(found), np.inf, found).argmin(axis=0)
    return lowest


def remembered_cluster(clusters: np.ndarray) -> Rows:
    """The form in which the cluster of each client, int64 [c], is remembered."""
    return {CLUSTER: torch.from_numpy(clusters)[:, None]}


def models_in(state: RunState, setup: Setup) -> Tensor:
    """The models [k, P] of the server."""
    clusters = setup.parts.algorithm.clusters
    assert clusters is not None
    return clusters.models(state.server.get(ALGORITHM, {}))


_LATEST: list[tuple[weakref.ref[RunState], weakref.ref[Setup], np.ndarray]] = []
"""The last state whose clusters were asked for, in what setup, and its clusters: an evaluation asks several times."""


def current_clusters(state: RunState, setup: Setup) -> np.ndarray:
    """The cluster that each participating client is in after the state's round, int64 [K]; -1 without examples.

    Where clients choose, what they would choose now, of the models as the server has them.
    """
    for of_state, of_setup, found in _LATEST:
        if of_state() is state and of_setup() is setup:
            return found
    found = _clusters_now(state, setup)
    _LATEST[:] = [(weakref.ref(state), weakref.ref(setup), found)]
    return found


def _clusters_now(state: RunState, setup: Setup) -> np.ndarray:
    clusters = setup.parts.algorithm.clusters
    assert clusters is not None
    clients = setup.trainers.eligible
    found = np.full(len(setup.federation.clients), -1, np.int64)
    if clusters.assigned is not None:
        found[clients] = clusters.assigned(state.server.get(ALGORITHM, {}), clients.tolist())
    else:
        found[clients] = lowest_loss(setup.worker, models_in(state, setup), clients.tolist())
    return found


def last_clusters(state: RunState, setup: Setup) -> np.ndarray:
    """The cluster in which each participating client trained last, int64 [K]; -1 before its first turn."""
    found = np.full(len(setup.federation.clients), -1, np.int64)
    for client, kept in state.clients.get(CLUSTER, {}).items():
        found[client] = int(kept[CLUSTER])
    return found


def cluster_model(state: RunState, setup: Setup, client: int) -> Tensor:
    """The model [P] of a client's cluster now; without training examples, that of the first."""
    return models_in(state, setup)[max(int(current_clusters(state, setup)[client]), 0)]
