"""Clusters of features, by scikit-learn, and the distance between the features of two classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

RIDGE = 1e-4
"""Added to the variances of a Gaussian mixture, as a share of the features' mean variance."""


class Clusters(NamedTuple):
    """members: the cluster of each example, int64 [n]; distances: to the clusters of another set, [K, K]."""

    members: np.ndarray
    distances: Callable[[Clusters], np.ndarray]
    centres: np.ndarray
    covariances: np.ndarray | None = None


def k_means(features: np.ndarray, number: int, generator: np.random.Generator) -> Clusters:
    """Lloyd's algorithm from one k-means++ start; distances are those of the centres, squared."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums in a fixed order: the same clusters with any number of cores
        fitted = KMeans(number, n_init=1, random_state=int(generator.integers(2**32))).fit(features)
    centres = fitted.cluster_centers_

    def distances(other: Clusters) -> np.ndarray:
        return np.asarray(((centres[:, None] - other.centres[None]) ** 2).sum(axis=2))

    return Clusters(fitted.labels_.astype(np.int64), distances, centres)


def gaussian_mixture(features: np.ndarray, number: int, generator: np.random.Generator) -> Clusters:
    """Each example to its likeliest component of a mixture with full covariances; distances are KL divergences."""
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    scale = float(features.var(axis=0).mean()) or 1.0
    with threadpool_limits(1):
        mixture = GaussianMixture(
            number,
            reg_covar=RIDGE * scale,
            max_iter=100,
            random_state=int(generator.integers(2**32)),
        ).fit(features)
        members = mixture.predict(features).astype(np.int64)
    means, covariances = mixture.means_, mixture.covariances_

    def distances(other: Clusters) -> np.ndarray:
        assert other.covariances is not None
        return kl_divergences(means, covariances, other.centres, other.covariances)

    return Clusters(members, distances, means, covariances)


def kl_divergences(
    means: np.ndarray, covariances: np.ndarray, other_means: np.ndarray, other_covariances: np.ndarray
) -> np.ndarray:
    """KL(p_i || q_j) in nats between Gaussians. means: [K, d]; covariances: [K, d, d]; returns [K, K']."""
    inverse = np.linalg.inv(other_covariances)
    trace = np.einsum("jab,iba->ij", inverse, covariances)
    apart = other_means[None] - means[:, None]
    mahalanobis = np.einsum("ija,jab,ijb->ij", apart, inverse, apart)
    logs = np.linalg.slogdet(other_covariances)[1][None] - np.linalg.slogdet(covariances)[1][:, None]
    return np.asarray((trace + mahalanobis - means.shape[1] + logs) / 2)


METHODS = {"k_means": k_means, "gaussian_mixture": gaussian_mixture}
