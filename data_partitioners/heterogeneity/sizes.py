"""The inequality of the clients' sizes. It has no null band: a random partition keeps the sizes."""

from __future__ import annotations

import numpy as np


def size_measures(sizes: np.ndarray) -> dict[str, float]:
    """Every measure of the sizes [K], by its name in MLflow below `heterogeneity/`."""
    return {
        "clients": float(len(sizes)),
        "empty_clients": float((sizes == 0).sum()),
        "smallest_client_examples": float(sizes.min()),
        "largest_client_examples": float(sizes.max()),
        "largest_share": float(sizes.max() / sizes.sum()),
        "size_gini": size_gini(sizes),
        "size_variation": size_variation(sizes),
    }


def size_gini(sizes: np.ndarray) -> float:
    """Gini coefficient of the clients' sizes [K]: 0 = all equal, (K - 1) / K = one client holds everything."""
    rising = np.sort(sizes)
    ranks = np.arange(1, len(rising) + 1)
    return float(2 * (ranks * rising).sum() / (len(rising) * rising.sum()) - (len(rising) + 1) / len(rising))


def size_variation(sizes: np.ndarray) -> float:
    """Coefficient of variation of the sizes [K]: population standard deviation over mean, 0 to sqrt(K - 1)."""
    return float(sizes.std() / sizes.mean())
