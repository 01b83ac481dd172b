"""What a lossy uplink does to updates, measured on every round's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from federated.compressors import CohortState, Compressor
from federated.compressors.parts import Parts

Distortion = dict[str, np.ndarray]
"""Measure -> its value for each client, float64 [C]."""


def distortion(compressor: Compressor, updates: Tensor, decoded: Tensor, state: CohortState) -> Distortion:
    """How far what the server decoded is from the updates [C, P], client by client.

    nmse: ||decoded - update||^2 / ||update||^2. cosine: of the angle between them. bias, where the compressor
    claims none: <decoded, update> / ||update||^2 - 1, which is zero in the mean over draws. residual_norm, with error
    feedback: the L2 norm of what has not been sent yet; nmse then counts what earlier rounds added. Three norms
    and a product, each one pass over [C, P]. An update of zeros counts as sent exactly.
    """
    if compressor.parts == Parts():
        exact = np.zeros(len(updates))
        return {"nmse": exact, "cosine": exact + 1, "bias": exact}
    size, lost = _norms(updates), _norms(decoded - updates)
    inner = torch.linalg.vecdot(updates, decoded).double().cpu().numpy()
    any_update = size > 0
    safe = np.where(any_update, size, 1)
    lengths = np.where(any_update, size * _norms(decoded), 1)
    measures = {
        "nmse": np.where(any_update, (lost / safe) ** 2, 0),
        "cosine": np.where(any_update, inner / np.where(lengths > 0, lengths, 1), 1),
    }
    if compressor.unbiased:
        measures["bias"] = np.where(any_update, inner / safe**2 - 1, 0)
    if "residual" in (names := {name.rpartition(".")[2]: name for name in state}):
        measures["residual_norm"] = _norms(state[names["residual"]])
    return measures


def distortion_metrics(shards: Sequence[Distortion]) -> dict[str, float]:
    """Means over the cohort, as `communication/uplink_...`."""
    measures = dict.fromkeys(name for shard in shards for name in shard)
    return {
        f"communication/uplink_{name}": float(np.concatenate([shard[name] for shard in shards]).mean())
        for name in measures
    }


def _norms(rows: Tensor) -> np.ndarray:
    norms: np.ndarray = torch.linalg.vector_norm(rows, dim=1).double().cpu().numpy()
    return norms
