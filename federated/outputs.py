"""Outputs of models on examples, in evaluation mode: of one model, or of each client's own on its own examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from federated.local_training.lean import Forward, lean_forward
from federated.objective import model_inputs

if TYPE_CHECKING:
    from federated.setup import Setup


def outputs_of(setup: Setup, model: Tensor, indices: np.ndarray) -> Tensor:
    """The outputs [n, outputs] of one model [P] for some examples."""
    setup.model.load(model)
    return _forward(setup, lean_forward(setup.model.module.eval()), indices)


def outputs_of_each(
    setup: Setup, model_of: Callable[[int], Tensor], indices: np.ndarray, sizes: np.ndarray
) -> Tensor:
    """The outputs [n, outputs] of every client's own model [P] for its own examples.

    indices: int64 [n], one client's after another's; sizes: how many are each one's, [K]. One model is in use at a
    time: what dominates is the examples, and a model of its own for each leaves nothing to share.
    """
    forward, ends = lean_forward(setup.model.module.eval()), np.cumsum(sizes)
    parts = []
    for client in np.flatnonzero(sizes).tolist():
        setup.model.load(model_of(client))
        parts.append(_forward(setup, forward, indices[ends[client] - sizes[client] : ends[client]]))
    return torch.cat(parts)


def _forward(setup: Setup, forward: Forward, indices: np.ndarray) -> Tensor:
    with torch.inference_mode():
        batches = torch.split(
            torch.from_numpy(indices).to(setup.inputs.device), setup.config.evaluation.batch_size
        )
        return torch.cat([forward(model_inputs(setup.inputs.index_select(0, batch))) for batch in batches])
