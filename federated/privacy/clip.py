"""Clipping: a bound on the influence of one client on the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from federated.privacy.clipping import check_norm, clipped
from federated.privacy.privacy import Bounded, Memory, Privacy


def clip(norm: float) -> Privacy:
    """Scale an update whose L2 norm exceeds `norm` down to it.

    McMahan et al. 2018, "Learning Differentially Private Recurrent Language Models", section 3.1 (flat
    clipping). It bounds each client's influence, which noise needs; alone it gives no differential privacy.
    """
    check_norm(norm)

    def bound(memory: Memory, updates: Tensor, numbers: Sequence[np.random.Generator]) -> Bounded:
        return Bounded(*clipped(updates, norm))

    return Privacy(bound)
