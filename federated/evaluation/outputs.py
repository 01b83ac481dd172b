"""Predictions of models on examples, in evaluation mode: of one model, or of each client's own on its own examples."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from federated.evaluation.fast_forward import fast_forward
from federated.local_training.steps.side_by_side import each_in_threads
from federated.machine.cores import threads_of
from federated.models.objective import model_inputs, padding_of
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

    def on(self, setup: Setup) -> Outputs:
        """The same for another run of the same model, on its own inputs; one of them is used at a time."""
        other = copy(self)
        other._setup = setup
        return other

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
        """Batch by batch, several at a time where that is safe; the number does not change the outputs.

        Of texts that a model cuts to the longest of a batch, those of one length are batched together.
        """
        inputs, size = self._setup.inputs, self._setup.config.evaluation.batch_size
        order = _by_length(inputs, torch.from_numpy(indices).to(inputs.device), self._scratch.module)
        room = _Room(len(indices))

        @torch.no_grad()  # of the thread that calls, as inference mode is
        def outputs(start: int) -> None:
            batch = order.examples[start : start + size]
            with torch.inference_mode():
                found = self._forward(model_inputs(inputs.index_select(0, batch)))
            room.write(start, found)

        each_in_threads(outputs, range(0, max(len(indices), 1), size), self._threads)
        found = room.found
        return self._setup.readout(found if order.places is None else found[order.places])


class _Room:
    """The outputs of all batches in one tensor [n, outputs], made when the first are known.

    A tensor for each batch would lie between the inputs of others in memory, which could not be used again: for a
    million examples of 784 numbers, that came to 1.5 GB.
    """

    def __init__(self, count: int) -> None:
        self._count, self._lock, self._found = count, Lock(), list[Tensor]()

    @property
    def found(self) -> Tensor:
        """What was written."""
        return self._found[0]

    def write(self, start: int, outputs: Tensor) -> None:
        """Keep the outputs [b, ...] of a batch, from any thread."""
        with self._lock:
            if not self._found:
                shape = (self._count, *outputs.shape[1:])
                self._found.append(torch.empty(shape, dtype=outputs.dtype, device=outputs.device))
        self.found[start : start + len(outputs)] = outputs


class _Order(NamedTuple):
    """examples: in the order of computation. places: where in it each of them is, as they were asked for; None: as
    asked for."""

    examples: Tensor
    places: Tensor | None = None


def _by_length(inputs: Tensor, examples: Tensor, module: nn.Module) -> _Order:
    """The shortest texts first, where the model says by an attribute `padding` which number fills them up."""
    if (padding := padding_of(module, inputs)) is None:
        return _Order(examples)
    order = (inputs.index_select(0, examples) != padding).sum(1).argsort(stable=True)
    return _Order(examples[order], order.argsort())


def _has_no_state(module: nn.Module) -> bool:
    """Whether a forward pass in evaluation mode changes nothing: torch's own layers without hooks."""
    return all(
        type(part).__module__.startswith("torch.nn.") and is_plain(part, type(part))
        for part in module.modules()
    )
