"""Outputs of models on examples, in evaluation mode: of one model, or of each client's own on its own examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from federated.local_training.forward.fast_forward import Forward, is_plain, lean_forward
from federated.local_training.steps.side_by_side import each_in_threads
from federated.machine.cores import threads_of
from federated.models.objective import model_inputs

if TYPE_CHECKING:
    from federated.run.setup import Setup


def outputs_of(setup: Setup, model: Tensor, indices: np.ndarray) -> Tensor:
    """The outputs [n, outputs] of one model [P] for some examples."""
    scratch = setup.model.twin()
    scratch.load(model)
    return _forward(setup, lean_forward(scratch.module.eval()), indices)


def outputs_of_each(
    setup: Setup, model_of: Callable[[int], Tensor], indices: np.ndarray, sizes: np.ndarray
) -> Tensor:
    """The outputs [n, outputs] of every client's own model [P] for its own examples.

    indices: int64 [n], client after client; sizes: the number of each client's, [K]. Models are used one at a time:
    the cost is in the examples, and different models cannot share computation.
    """
    scratch, ends = setup.model.twin(), np.cumsum(sizes)
    forward = lean_forward(scratch.module.eval())
    parts = []
    for client in np.flatnonzero(sizes).tolist():
        scratch.load(model_of(client))
        parts.append(_forward(setup, forward, indices[ends[client] - sizes[client] : ends[client]]))
    return torch.cat(parts)


def _forward(setup: Setup, forward: Forward, indices: np.ndarray) -> Tensor:
    """The outputs, batch by batch, several at a time where that is safe; the number does not change the outputs."""
    batches = torch.split(
        torch.from_numpy(indices).to(setup.inputs.device), setup.config.evaluation.batch_size
    )

    @torch.inference_mode()  # of the thread that calls
    def outputs(batch: Tensor) -> Tensor:
        return forward(model_inputs(setup.inputs.index_select(0, batch)))

    several = setup.inputs.is_cpu and _has_no_state(setup.model.module)
    threads = threads_of(setup.config.orchestration.threads) if several else 1
    return torch.cat(each_in_threads(outputs, batches, threads))


def _has_no_state(module: nn.Module) -> bool:
    """Whether a forward pass in evaluation mode changes nothing: torch's own layers without hooks."""
    return all(
        type(part).__module__.startswith("torch.nn.") and is_plain(part, type(part))
        for part in module.modules()
    )
