"""The contract of a person's own algorithm with several models: models and clusters are as `Clusters` says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from federated.algorithms import ClientHalf, Clusters, ServerState
from federated.extension_points.returned import found_text
from federated.foundation.errors import OwnCodeFailed
from federated.user_code.containment import contained


def held_clusters(name: str, clusters: Any, client: ClientHalf) -> Clusters | None:
    """Clusters whose functions return what they say. They raise OwnCodeFailed if not, this where they cannot work."""
    what = f"algorithm: {name}"
    if clusters is None:
        return None
    if not isinstance(clusters, Clusters):
        raise OwnCodeFailed(f"{name}: clusters must be Clusters(...), got {found_text(clusters)}")
    if client.stays is not ClientHalf().stays:
        raise OwnCodeFailed(f"{name}: an algorithm with clusters cannot have client.stays as well")

    def models(state: ServerState) -> Tensor:
        with contained(f"{what}: clusters.models fails"):
            found: Any = clusters.models(state)
        if not isinstance(found, Tensor) or found.dim() != 2 or not len(found):
            raise OwnCodeFailed(f"{what}: clusters.models must return models [k, T], got {found_text(found)}")
        return found

    def assigned(state: ServerState, members: Sequence[int]) -> np.ndarray:
        assert clusters.assigned is not None
        with contained(f"{what}: clusters.assigned fails"):
            found = np.asarray(clusters.assigned(state, members))
        known = len(models(state))
        if (
            found.shape != (len(members),)
            or found.dtype.kind not in "iu"
            or not ((found >= 0) & (found < known)).all()
        ):
            raise OwnCodeFailed(
                f"{what}: clusters.assigned must return a number below {known} for each of {len(members)} clients, "
                f"got {found_text(found)}"
            )
        return found.astype(np.int64)

    return Clusters(models, None if clusters.assigned is None else assigned)
