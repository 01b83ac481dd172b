"""Clipping: updates no longer than a norm."""

from __future__ import annotations

import torch
from torch import Tensor


def clipped(updates: Tensor, norm: float | Tensor) -> tuple[Tensor, Tensor]:
    """(updates [c, P] whose L2 norm is at most `norm`, whether each was longer [c]); shorter ones stay to the bit."""
    limit = torch.as_tensor(norm).to(updates)
    norms = torch.linalg.vector_norm(updates, dim=1)
    return updates * (limit / norms.clamp(min=limit))[:, None], norms > limit
