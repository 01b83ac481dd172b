"""The clusters of a run's clients: their sizes, their changes, and their agreement with the true groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from federated.metrics import Metrics
from federated.run.clients.clusters import current_clusters, last_clusters
from federated.run.state import RunState

if TYPE_CHECKING:
    from federated.run.setup import Setup


def cluster_metrics(state: RunState, setup: Setup) -> Metrics:
    """`train/cluster...` of the clients with training examples; empty where the server has one model for all.

    Changes are against the cluster in which a client trained last, of those that have trained. The adjusted Rand index
    is against the partitioner's groups, where these are known and not all of the clients are alike or alone.
    """
    if setup.parts.algorithm.clusters is None:
        return {}
    now, before = current_clusters(state, setup), last_clusters(state, setup)
    held = now >= 0
    sizes = np.bincount(now[held])
    sizes = sizes[sizes > 0]
    metrics: Metrics = {
        "train/clusters": len(sizes),
        "train/largest_cluster": int(sizes.max()),
        "train/smallest_cluster": int(sizes.min()),
    }
    trained = held & (before >= 0)
    if trained.any():
        metrics["train/cluster_changes"] = float((now != before)[trained].mean())
    groups = setup.federation.groups
    if groups is not None and 1 < len(np.unique(groups[held])) < held.sum():
        metrics["train/cluster_agreement"] = agreement(groups[held], now[held])
    return metrics


def agreement(groups: np.ndarray, clusters: np.ndarray) -> float:
    """The adjusted Rand index of two partitions of the same clients: 1 where they are the same, 0 as by chance.

    Hubert and Arabie 1985, "Comparing partitions"; by scikit-learn.
    """
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(groups, clusters))


def cluster_columns(state: RunState, setup: Setup) -> dict[str, list[Any]]:
    """A value a participating client: its cluster, its true group where known; {} where the server has one model."""
    if setup.parts.algorithm.clusters is None:
        return {}
    now, groups = current_clusters(state, setup), setup.federation.groups
    known = {} if groups is None else {"group": groups.tolist()}
    return {"cluster": [None if cluster < 0 else int(cluster) for cluster in now], **known}


def cluster_table(state: RunState, setup: Setup) -> dict[str, list[Any]]:
    """One row a participating client: name, training examples, cluster, group; {} where the server has one model."""
    columns = cluster_columns(state, setup)
    if not columns:
        return {}
    federation = setup.federation
    return {"client": list(federation.names), "training_examples": federation.sizes.tolist(), **columns}
