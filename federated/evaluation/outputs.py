"""Predictions of models on examples, in evaluation mode: of one model, or of each client's own on its own examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from federated.evaluation.fast_forward import fast_forward
from federated.local_training.steps.side_by_side import each_in_threads
from federated.machine.cores import threads_of
from federated.models.objective import model_inputs
from federated.models.plain_modules import is_plain

if TYPE_CHECKING:
    from federated.run.setup import Setup


class Outputs:
    """The outputs of models [P] on a run's examples, as predictions of its targets, computed on a twin of its model."""

    def __init__(self, setup: Setup) -> None:
        self._setup, self._scratch = setup, setup.model.twin()
        self._forward = fast_forward(self._scratch.module.eval())
        several = setup.inputs.is_cpu and _has_no_state(self._scratch.module)
        self._threads = threads_of(setup.config.orchestration.threads) if several else 1

    def of(self, model: Tensor, indices: np.ndarray) -> Tensor:
        """The outputs [n, outputs] of one model for some examples."""
        self._scratch.load(model)
        return self._batched(indices)

    def of_each(self, model_of: Callable[[int], Tensor], indices: np.ndarray, sizes: np.ndarray) -> Tensor:
        """The outputs [n, outputs] of every client's own model for its own examples.

        indices: int64 [n], client after client; sizes: the number of each client's, [K]. Models are used one at a time:
        the cost is in the examples, and different models cannot share computation.
        """
        ends = np.cumsum(sizes)
        clients = np.flatnonzero(sizes).tolist()
        return torch.cat([self.of(model_of(k), indices[ends[k] - sizes[k] : ends[k]]) for k in clients])

    def _batched(self, indices: np.ndarray) -> Tensor:
        """Batch by batch, several at a time where that is safe; the number does not change the outputs."""
        inputs, size = self._setup.inputs, self._setup.config.evaluation.batch_size
        batches = torch.split(torch.from_numpy(indices).to(inputs.device), size)

        @torch.inference_mode()  # of the thread that calls
        def outputs(batch: Tensor) -> Tensor:
            return self._forward(model_inputs(inputs.index_select(0, batch)))

        return self._setup.readout(torch.cat(each_in_threads(outputs, batches, self._threads)))


def _has_no_state(module: nn.Module) -> bool:
    """Whether a forward pass in evaluation mode changes nothing: torch's own layers without hooks."""
    return all(
        type(part).__module__.startswith("torch.nn.") and is_plain(part, type(part))
        for part in module.modules()
    )
