"""Label skew: the divergence of the clients' label mixes from the pool and from each other."""

from __future__ import annotations

import numpy as np

from data_partitioners.heterogeneity.divergence import (
    entropy_bits,
    hellinger,
    jensen_shannon_bits,
    pairwise_hellinger,
    total_variation,
)

DIVERGENCES = {
    "jensen_shannon_bits": jensen_shannon_bits,
    "hellinger": hellinger,
    "total_variation": total_variation,
}
"""What a client's mix is compared to the pool's by; the name is the metric's, after `label_`."""

MOST_PAIRED = 64
"""Clients among which all pairs are compared; of more, so many are drawn at random."""


def client_label_measures(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Each client's divergences from the pool, label entropy in bits, and effective number of classes.

    counts: int [..., K, C], no client empty; the pool is their sum. Every measure is [..., K]. The effective
    number is 2 to the entropy: how many equally frequent classes would have it (Hill 1973, order 1).
    """
    mixes = _mixes(counts)
    pooled = _mixes(counts.sum(axis=-2, keepdims=True))
    measures = {f"label_{name}": distance(mixes, pooled) for name, distance in DIVERGENCES.items()}
    entropies = entropy_bits(mixes)
    return {**measures, "label_entropy_bits": entropies, "effective_classes": 2**entropies}


def label_measures(
    counts: np.ndarray, paired: np.ndarray, by_client: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The same over all clients, each [...]: mean, size-weighted mean and maximum.

    by_client: what `client_label_measures` said. paired: the clients that are compared with each other, int.
    """
    measures: dict[str, np.ndarray] = {}
    for name, values in by_client.items():
        if name in ("label_entropy_bits", "effective_classes"):
            measures[f"{name}_mean"] = values.mean(axis=-1)
        else:
            measures |= summaries(name, values, counts.sum(axis=-1))
    if len(paired) > 1:
        between = pairwise_hellinger(_mixes(counts[..., paired, :]))
        measures["label_pairwise_hellinger_mean"] = between.mean(axis=-1)
        measures["label_pairwise_hellinger_max"] = between.max(axis=-1)
    return measures


def summaries(name: str, values: np.ndarray, sizes: np.ndarray) -> dict[str, np.ndarray]:
    """Mean, size-weighted mean and maximum over clients of a divergence [..., K]; sizes: int [..., K]."""
    return {
        f"{name}_mean": values.mean(axis=-1),
        f"{name}_weighted_mean": (values * sizes).sum(axis=-1) / sizes.sum(axis=-1),
        f"{name}_max": values.max(axis=-1),
    }


def _mixes(counts: np.ndarray) -> np.ndarray:
    """Shares of each label, [..., C]."""
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True))
