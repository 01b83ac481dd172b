"""Clustered federated learning: clusters are split in two where their clients pull their model apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from federated.algorithms.algorithm import Algorithm, Clusters, Heard, Need, OfClients, ServerState
from federated.algorithms.clusters.bipartition import across, bipartition, cosines, largest_gamma
from federated.algorithms.clusters.models import EACH_ITS_OWN, MODELS, global_model
from federated.algorithms.holdings import Holdings, check_no_running_statistics
from federated.foundation.scales import check_scale

CLUSTER_OF, TREE, ROUNDS = "cluster_of", "tree", "rounds"
"""In the server's state: the cluster of each client, int64 [K]; for each split its round, the cluster and the new one
that left it, int64 [S, 3]; rounds done, int64 [1]."""


def cfl(
    eps1: float = 0.4,
    eps2: float = 1.6,
    gamma: float | None = None,
    rounds_before: int = 20,
    smallest: int = 3,
    server_learning_rate: float = 1.0,
) -> Algorithm:
    """FedAvg in one cluster of all clients, which is split in two where it has converged and its clients have not.

    eps1: a cluster is split only where its mean update is shorter than this, as at a stationary point of its objective.
    eps2: and where its longest update is longer than this, as at no stationary point of that client's.
    gamma: and where the noise of the updates, relative to their length, is so small that the split is right: below
        sqrt((1 - the largest cosine across) / 2). Unless stated, splits are not checked.
    rounds_before: rounds without a split at the beginning.
    smallest: clients that a cluster must have to be split.
    server_learning_rate: what a cluster's mean update is multiplied by.

    Sattler, Müller and Samek 2020, "Clustered Federated Learning: Model-Agnostic Distributed Multi-Task Optimization
    under Privacy Constraints". The two halves are those whose largest cosine between updates across them is least,
    which is single linkage; the authors' code has complete linkage, which need not find them. Both go on from the
    model that they shared, in this very round with their own mean update, as in the authors' code, whose other figures
    the defaults are (for updates of one epoch of their network; for yours look at `train/client_update_norm_max` and
    `train/update_norm`). Means are by `cohort.weighting` (that code:
    uniform). The server keeps the tree of splits.
    It needs every client's update, and of all clients in each round: so it is refused with smaller cohorts. Both
    lengths are those of updates as the server reads them: with `privacy: clip(norm)` and a norm up to eps2 nothing is
    ever split. `train/update_norm` includes the server's learning rate, and after a split is of the mean of all models.
    """
    check_scale("eps1", eps1)
    check_scale("eps2", eps2, zero=True)
    check_scale("server_learning_rate", server_learning_rate)
    if gamma is not None:
        check_scale("gamma", gamma, zero=True)
    if rounds_before < 0:
        raise ValueError(f"rounds_before must be at least 0, got {rounds_before}")
    if smallest < 2:
        raise ValueError(f"smallest must be at least 2, as one client cannot be split, got {smallest}")

    def update(state: ServerState, parameters: Tensor, heard: Heard) -> tuple[ServerState, Tensor]:
        assert heard.of_clients is not None
        found, done = heard.of_clients, int(state[ROUNDS]) + 1
        models, tree = list(state[MODELS]), state[TREE].tolist()
        after = found.clusters.copy()
        for number in range(len(state[MODELS]) if done > rounds_before else 0):
            mine = np.flatnonzero(found.clusters == number)
            if (leaving := _leaving(found, mine, eps1, eps2, gamma, smallest)) is not None:
                after[leaving] = len(models)
                tree.append([done, number, len(models)])
                models.append(models[number].clone())
        shares = np.array([found.weights[after == number].sum() for number in range(len(models))])
        moved = [
            model + server_learning_rate * _mean(found, np.flatnonzero(after == number)).to(model)
            for number, model in enumerate(models)
        ]
        cluster_of = state[CLUSTER_OF].cpu().clone()
        cluster_of[torch.from_numpy(found.clients)] = torch.from_numpy(after)
        stacked = torch.stack(moved)
        kept = {
            MODELS: stacked,
            CLUSTER_OF: cluster_of,
            TREE: torch.tensor(tree, dtype=torch.int64).reshape(-1, 3),
            ROUNDS: torch.tensor([done]),
        }
        return kept, global_model(stacked, shares)

    def assigned(state: ServerState, clients: Sequence[int]) -> np.ndarray:
        found: np.ndarray = state[CLUSTER_OF].cpu().numpy()[np.asarray(clients, np.int64)]
        return found

    def init(parameters: Tensor, num_clients: int = 1) -> ServerState:
        return {
            MODELS: parameters[None].clone(),
            CLUSTER_OF: torch.zeros(num_clients, dtype=torch.int64),
            TREE: torch.zeros(0, 3, dtype=torch.int64),
            ROUNDS: torch.zeros(1, dtype=torch.int64),
        }

    made = Algorithm(
        init=init,
        update=update,
        needs=frozenset({Need.WHOLE_MOVE, Need.EVERY_CLIENT}),
        clusters=Clusters(lambda state: state[MODELS], assigned),
    )

    def fit(holdings: Holdings) -> Algorithm:
        check_no_running_statistics(holdings, EACH_ITS_OWN)
        return made._replace(init=lambda parameters: init(parameters, holdings.num_clients))

    return made._replace(fit=fit)


def _mean(found: OfClients, mine: np.ndarray) -> Tensor:
    """The weighted mean update [T] of some clients, in double precision."""
    weights = found.weights[mine]
    shares = weights if len(mine) == len(found.clients) else weights / weights.sum()
    return torch.from_numpy(np.einsum("c,cp->p", shares, found.updates.numpy()[mine]))


def _leaving(
    found: OfClients, mine: np.ndarray, eps1: float, eps2: float, gamma: float | None, smallest: int
) -> np.ndarray | None:
    """Those of a cluster's clients that leave it, places in the cohort; None where it is not split."""
    if len(mine) < smallest:
        return None
    mean, rows = _mean(found, mine).numpy(), found.updates.numpy()[mine]
    if np.linalg.norm(mean) >= eps1 or np.linalg.norm(rows.astype(np.float64), axis=1).max() <= eps2:
        return None
    similarities = cosines(rows)
    first, second = bipartition(similarities)
    if gamma is not None and gamma >= largest_gamma(across(similarities, first, second)):
        return None
    leaving: np.ndarray = mine[second]
    return leaving
