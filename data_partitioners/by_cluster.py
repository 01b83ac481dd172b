"""Feature skew: each client gets clusters of similar examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from data_partitioners.clustering import METHODS, Clusters
from data_partitioners.partition import Partition, Pool, by_owner, numbered, stated_number
from data_partitioners.skew import Skew

Encoder = Callable[[np.ndarray], np.ndarray]
"""Inputs [n, ...] -> their embedding [n, d]."""


def by_cluster(
    method: Literal["k_means", "gaussian_mixture"] = "k_means",
    encoder: Encoder | None = None,
    components: int | None = 32,
    within_classes: bool = False,
) -> Skew:
    """Each client is a cluster of the features; sizes follow from the clusters.

    With within_classes and "gaussian_mixture" it is the semantic partition of Yuan et al. 2022, "What Do We Mean
    by Generalization in Federated Learning?", section 4.1: every class is clustered by itself, and clusters of the
    classes are joined into clients by a chain of optimal matchings, classes in random order, so that clients differ
    in style and not in labels. Clusters are matched by the divergence KL(p || q) of their Gaussians, those of k-means
    by the distance of their centres.

    encoder: `package.module:function` of your own, from inputs [n, ...] to their embedding [n, d], such as a pretrained
        trunk; unless stated, the features as they are.
    components: principal components that are clustered, of all there are where these are fewer; null: no reduction.
    within_classes: cluster each class by itself and match.
    """
    if components is not None and components < 1:
        raise ValueError(f"components must be at least 1 or null, got {components}")

    def deal(
        pool: Pool, num_clients: int | None, sizes: np.ndarray | None, generator: np.random.Generator
    ) -> Partition:
        number = stated_number(num_clients, pool, "by_cluster")
        features = _reduced(_features(pool, encoder), components, generator)
        if not within_classes:
            return numbered(by_owner(METHODS[method](features, number, generator).members, number))
        return numbered(by_owner(_matched(pool, features, number, METHODS[method], generator), number))

    return Skew("by_cluster", deal=deal)


def _features(pool: Pool, encoder: Encoder | None) -> np.ndarray:
    """The features to cluster, float64 [N, d]. Raises ValueError where the pool has none, or they are not numbers."""
    if pool.features is None:
        raise ValueError("partitioner: by_cluster needs the features of the examples; the pool has none")
    inputs = pool.features()
    found = inputs if encoder is None else np.asarray(encoder(inputs))
    if len(found) != pool.size or found.dtype.kind not in "fiu":
        raise ValueError(
            f"partitioner: by_cluster: the encoder must return numbers [{pool.size}, d], "
            f"got {found.dtype} {list(found.shape)}"
        )
    found = found.reshape(pool.size, -1).astype(np.float64)
    if not np.isfinite(found).all():
        raise ValueError("partitioner: by_cluster: the features hold NaN or infinite values")
    return found


def _reduced(features: np.ndarray, components: int | None, generator: np.random.Generator) -> np.ndarray:
    """The leading principal components [N, min(components, d, N)]."""
    if components is None or features.shape[1] <= components:
        return features
    from sklearn.decomposition import PCA

    seed = int(generator.integers(2**32))
    return np.asarray(PCA(min(components, len(features)), random_state=seed).fit_transform(features))


def _matched(
    pool: Pool,
    features: np.ndarray,
    number: int,
    cluster: Callable[[np.ndarray, int, np.random.Generator], Clusters],
    generator: np.random.Generator,
) -> np.ndarray:
    """The client of each example, int64 [N]: clusters of each class, joined by a chain of optimal matchings."""
    from scipy.optimize import linear_sum_assignment

    if pool.labels is None:
        raise ValueError(
            "partitioner: by_cluster: within_classes needs class labels; the data set is a regression"
        )
    labels, codes, counts = np.unique(pool.labels, return_inverse=True, return_counts=True)
    if counts.min() < number:
        raise ValueError(
            f"partitioner: by_cluster: class {labels[counts.argmin()]} has {counts.min()} examples for {number} "
            f"clusters; at most {counts.min()} clients are possible within classes"
        )
    first_seen = np.argsort([int(np.argmax(codes == code)) for code in range(len(labels))])
    owners = np.empty(pool.size, np.int64)
    before: Clusters | None = None
    client_of = np.arange(number)
    for code in generator.permutation(first_seen):
        members = np.flatnonzero(codes == code)
        found = cluster(features[members], number, generator)
        if before is not None:
            rows, columns = linear_sum_assignment(before.distances(found))
            matched = np.empty(number, np.int64)
            matched[columns] = client_of[rows]
            client_of = matched
        owners[members] = client_of[found.members]
        before = found
    return owners
