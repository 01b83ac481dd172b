"""The norms and the agreement of the clients' updates in a round, in two passes and exact over shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from federated.metrics import Metrics


class Drift(NamedTuple):
    """The drift of a shard: the L2 norm of each update, float64 [c], and sums [2, P] of updates and of unit vectors."""

    norms: np.ndarray
    sums: Tensor


def drift(updates: Tensor) -> Drift:
    """The contribution of a shard's updates [c, P] to the diagnostics; a client that did not move has no direction."""
    norms = torch.linalg.vector_norm(updates, dim=1).numpy(force=True).astype(np.float64)
    inverse = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
    factors = torch.from_numpy(np.stack([np.ones_like(norms), inverse])).to(updates)
    return Drift(norms, factors @ updates)


def drift_metrics(shards: Sequence[Drift]) -> Metrics:
    """The metrics `train/...` of a round, unweighted, on the updates before clipping and encoding.

    gradient_diversity: sum of squared norms over squared norm of the sum, Yin et al. 2018, "Gradient diversity: a
    key ingredient for scalable distributed learning", with updates for gradients: 1 / C where all C
    agree, 1 where they are orthogonal, more where they cancel. update_cosine_mean: over all pairs, from the norm of the
    sum of the m unit vectors, (||sum||^2 - m) / (m (m - 1)). Where something has no meaning (one client, a sum of zero)
    it is left out.
    """
    if not shards:
        return {}
    norms = np.concatenate([shard.norms for shard in shards])
    sums = torch.stack([shard.sums for shard in shards]).sum(dim=0)
    total, units = (torch.linalg.vector_norm(sums, dim=1, dtype=torch.float64) ** 2).tolist()
    moved = int((norms > 0).sum())
    metrics: Metrics = {
        "train/client_update_norm_mean": float(norms.mean()),
        "train/client_update_norm_max": float(norms.max()),
    }
    if total > 0:
        metrics["train/gradient_diversity"] = float(norms @ norms) / total
    if moved > 1:
        metrics["train/update_cosine_mean"] = (units - moved) / (moved * (moved - 1))
    return metrics
