"""Clipping: updates no longer than a norm."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from federated.foundation.scales import check_scale


def check_norm(norm: float, *, without_noise: str = "") -> None:
    """Raise ValueError, naming the argument, for a norm that bounds nothing.

    without_noise: when the mechanism takes an infinite one, in words, and then this is not the case; "" for never.
    """
    try:
        check_scale("norm", norm)
    except ValueError as error:
        if norm != math.inf:
            raise
        may = without_noise or "central_gaussian and dp_sgd take an infinite one, with noise_multiplier: 0"
        raise ValueError(f"{error}; {may}") from error


def clipped(updates: Tensor, norm: float | Tensor) -> tuple[Tensor, Tensor]:
    """(updates [c, P] whose L2 norm is at most `norm`, whether each was changed [c]); shorter ones stay to the bit, as
    all do where it is infinite.

    An update whose norm is not a finite number counts as zeros: no client may end a run, which would tell of it.
    """
    limit = torch.as_tensor(norm).to(updates)
    norms = torch.linalg.vector_norm(updates, dim=1)
    within = updates if limit.isinf() else updates * (limit / norms.clamp(min=limit))[:, None]
    lost = ~norms.isfinite()
    return (within.masked_fill(lost[:, None], 0) if lost.any() else within), (norms > limit) | lost
