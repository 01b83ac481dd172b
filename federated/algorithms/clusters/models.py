"""The parts that algorithms with several models have in common."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

MODELS = "models"
"""The name of the models [k, T] in the server's state."""
EACH_ITS_OWN = ", which every cluster would need of its own"
"""What a refusal of running statistics adds."""


def global_model(models: Tensor, shares: np.ndarray) -> Tensor:
    """The mean [T] of the models [k, T] by the shares of their clients, float64 [k]: no client has it, of one model."""
    (used,) = np.nonzero(shares)
    if len(used) == 1:
        return models[int(used[0])].clone()
    return (torch.from_numpy(shares).to(models) @ models).to(models)
