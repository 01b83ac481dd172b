"""The compression error of each round's updates and model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from federated.compressors import CohortState, Compressor, Trait

Distortion = dict[str, np.ndarray]
"""Measure -> its value for each client, float64 [C]."""


def distortion(compressor: Compressor, updates: Tensor, decoded: Tensor, state: CohortState) -> Distortion:
    """The error of the decoded updates against the true ones [C, P], for each client.

    nmse: ||decoded - update||^2 / ||update||^2. cosine: of the angle between them. bias, for compressors that claim
    to be unbiased: <decoded, update> / ||update||^2 - 1, whose mean over draws is zero. residual_norm, with error
    feedback: the L2 norm of the part not sent yet; nmse then includes residuals of earlier rounds. Costs four products
    of vectors per client. An update of zeros counts as sent exactly.
    """
    if is_exact(compressor):
        exact = np.zeros(len(updates))
        return {"nmse": exact, "cosine": exact + 1, "bias": exact}
    pairs = zip(updates.cpu().numpy(), decoded.cpu().numpy(), strict=True)
    squares, of_decoded, inner, of_error = np.array([_products(*pair) for pair in pairs], np.float64).T
    any_update = squares > 0
    safe, lengths = np.where(any_update, squares, 1), np.sqrt(squares * of_decoded)
    measures = {
        "nmse": np.where(any_update, of_error / safe, 0),
        "cosine": np.where(any_update, inner / np.where(lengths > 0, lengths, 1), 1),
    }
    if Trait.UNBIASED in compressor.traits:
        measures["bias"] = np.where(any_update, inner / safe - 1, 0)
    if "residual" in (names := {name.rpartition(".")[2]: name for name in state}):
        measures["residual_norm"] = torch.linalg.vector_norm(state[names["residual"]], dim=1).numpy(
            force=True
        )
    return measures


def bias_share(update: Tensor, first: Tensor, second: Tensor) -> np.ndarray:
    """[1]: the share of the squared error common to all draws, estimated from two draws of one update, all [P].

    <first - update, second - update> is the squared bias in the mean over draws, as what is random is not shared. For
    one update it is known to about 1 / sqrt(P), and may be below zero. A sum over clients averages the rest away.
    """
    errors = [(decoded - update).double() for decoded in (first, second)]
    squared = float(sum(error @ error for error in errors)) / 2
    return np.array([float(errors[0] @ errors[1]) / squared if squared > 0 else 0.0])


def distortion_metrics(shards: Sequence[Distortion]) -> dict[str, float]:
    """Means over the cohort, as `communication/uplink_...`."""
    measures = dict.fromkeys(name for shard in shards for name in shard)
    return {
        f"communication/uplink_{name}": float(np.concatenate([shard[name] for shard in shards]).mean())
        for name in measures
    }


def downlink_distortion(compressor: Compressor, parameters: Tensor, received: Tensor) -> dict[str, float]:
    """The error of the model [P] that clients receive; empty where the downlink is lossless.

    nmse: ||received - parameters||^2 / ||parameters||^2. cosine: of the angle between them. As metrics of a round.
    """
    if is_exact(compressor):
        return {}
    found = distortion(compressor, parameters[None], received[None], {})
    return {f"communication/downlink_{name}": float(found[name][0]) for name in ("nmse", "cosine")}


def is_exact(compressor: Compressor) -> bool:
    """Whether every number is sent without loss."""
    parts = compressor.parts
    return parts is not None and all(part is None for part in (parts.reduction, parts.values, parts.fit))


def _products(update: np.ndarray, decoded: np.ndarray) -> tuple[float, float, float, float]:
    """||update||^2, ||decoded||^2, <update, decoded>, ||decoded - update||^2."""
    error = decoded - update
    return (
        float(update @ update),
        float(decoded @ decoded),
        float(update @ decoded),
        float(error @ error),
    )
