"""The parts that algorithms with several models have in common."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from federated.algorithms.holdings import Holdings

MODELS = "models"
"""The name of the models [k, T] in the server's state."""


def global_model(models: Tensor, shares: np.ndarray) -> Tensor:
    """The mean [T] of the models [k, T] by the shares of their clients, float64 [k]: no client has it, of one model."""
    (used,) = np.nonzero(shares)
    if len(used) == 1:
        return models[int(used[0])].clone()
    return (torch.from_numpy(shares).to(models) @ models).to(models)


def initial_parameters(holdings: Holdings) -> Tensor:
    """The trainable parameters [T] of a run's model before training."""
    named = dict(holdings.model.named_parameters())
    return torch.cat([named[name].detach().reshape(-1).clone() for name, _ in holdings.layout])


def without_statistics(module: nn.Module) -> None:
    """Raise ValueError where a model has running statistics, of which each cluster would need its own."""
    for name, layer in module.named_modules():
        if isinstance(layer, _NormBase) and layer.running_mean is not None:
            raise ValueError(
                f"the model has running statistics, in {name}, which every cluster would need of its own; use another "
                "normalisation"
            )
