"""Local privacy by Laplace noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from federated.foundation.scales import check_scale
from federated.privacy.clipping import check_norm
from federated.privacy.local.own_noise import noised, times
from federated.privacy.privacy import Bounded, Memory, Participated, Privacy

if TYPE_CHECKING:
    from dp_accounting import DpEvent


def local_laplace(epsilon: float, norm: float) -> Privacy:
    """Each client scales its update to an L1 norm of at most `norm`, adds Laplace noise to it, and sends that.

    Dwork, McSherry, Nissim and Smith 2006, "Calibrating Noise to Sensitivity in Private Data Analysis". What a client
    sends in one round is `epsilon`-differentially private, with delta 0, towards the server itself: whatever its data
    are, its update lies within that L1 norm, and any two of them are at most 2 `norm` apart, so that the noise of each
    coordinate has the scale 2 `norm` / `epsilon`. That a client takes part is not hidden. Over rounds it composes by as
    many as one client can take part in; nothing is amplified, as the server sees who sends.

    Accounted as one coordinate that is shifted by the whole L1 norm, which no vector shifted by as much is worse than.
    The noise of P coordinates has an L2 norm of about 2 sqrt(2 P) `norm` / `epsilon`.
    """
    check_scale("epsilon", epsilon)
    check_norm(norm)
    scale = 2 * norm / epsilon

    def bound(memory: Memory, updates: Tensor, numbers: Sequence[np.random.Generator]) -> Bounded:
        norms = torch.linalg.vector_norm(updates, ord=1, dim=1)
        lost = ~norms.isfinite()  # counts as zeros
        within = (updates * (norm / norms.clamp(min=norm))[:, None]).masked_fill(lost[:, None], 0)
        return Bounded(
            noised(within, numbers, lambda own, size: own.laplace(0, scale, size)), (norms > norm) | lost
        )

    def guarantee(participated: Participated) -> DpEvent:
        from dp_accounting import LaplaceDpEvent

        return times(LaplaceDpEvent(1 / epsilon), participated.most)

    def noise_ratio(participated: Participated, size: int) -> float:
        return scale / norm * math.sqrt(2 * size / participated.cohort)

    return Privacy(bound, guarantee=guarantee, unit="update", noise_ratio=noise_ratio)
