"""The reports of a round's shards put together by cluster or by client, where the server has several models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from federated.aggregators import weighted_sum
from federated.algorithms.algorithm import Clusters, OfClients, OfClusters
from federated.shards.report import ShardReport


def of_clusters(clusters: Clusters, reports: Sequence[ShardReport]) -> OfClusters | None:
    """The sum of each cluster's weighted updates; None where the server reads every update."""
    if not clusters.chosen_by_clients:
        return None
    sums = torch.stack([report.update for report in reports]).sum(dim=0)
    weights, chosen = _weights(reports), _clusters(reports)
    by_cluster = np.array([weights[chosen == number].sum() for number in range(len(sums))])
    return OfClusters(sums, by_cluster / weights.sum())


def of_clients(clusters: Clusters, reports: Sequence[ShardReport]) -> OfClients | None:
    """Every update; None where clients choose their clusters, of whom the server reads sums."""
    if clusters.chosen_by_clients:
        return None
    clients = np.concatenate([report.clients for report in reports])
    updates = torch.cat([report.update for report in reports])
    return OfClients(clients, _weights(reports), updates, _clusters(reports))


def mean_of(found: OfClusters | OfClients) -> torch.Tensor:
    """The weighted mean update [T] of the cohort, in double precision."""
    if isinstance(found, OfClusters):
        return found.sums.sum(dim=0)
    return weighted_sum(found.weights, found.updates)


def _weights(reports: Sequence[ShardReport]) -> np.ndarray:
    return np.concatenate([report.weights for report in reports])


def _clusters(reports: Sequence[ShardReport]) -> np.ndarray:
    return np.concatenate([report.clusters for report in reports if report.clusters is not None])
