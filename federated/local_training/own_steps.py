"""The round of one client by an algorithm's own steps: its batches, and gradients wherever the algorithm asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from federated.algorithms.own_steps import OwnSteps, Walk
from federated.local_training.steps.batches import Batch
from federated.local_training.steps.seen import Seen
from federated.local_training.steps.sgd import clip_norms
from federated.local_training.steps.updates import Slots
from federated.local_training.steps.work import LocalWork
from federated.models.flat_model import FlatModel

Gradients = Callable[[Batch], tuple[Tensor, Tensor]]
"""A batch -> (the mean loss, which is reported; the gradient [T] of what is minimised) of the model as it is."""


def take_own_steps(
    work: LocalWork,
    model: FlatModel,
    gradients: Gradients,
    steps: OwnSteps,
    rate: float,
    batches: Iterator[Batch],
    slots: Slots,
    row: int,
) -> Seen:
    """Train the model in place and write what the client remembers; the losses of its batches.

    steps: of this one client. row: its place in the slots.
    """
    seen, trainable = _Losses(), model.num_trainable
    weights = model.vector[:trainable]

    def gradient(at: Tensor, batch: Batch) -> Tensor:
        weights.copy_(at)
        loss, found = gradients(batch)
        seen.note(batch, loss)
        if (most := work.local.max_gradient_norm) is not None:
            clip_norms([found[None]], most)
        return found.add_(at, alpha=work.local.weight_decay) if work.local.weight_decay else found

    own = {name: rows[0] for name, rows in steps.own.items()}
    trained, kept = steps.take(Walk(weights.clone(), own, rate, batches, gradient))
    weights.copy_(trained)
    for name, value in kept.items():
        slots.kept[name][row] = value
    return seen.stacked()


class _Losses:
    """The loss of each batch where its first gradient is taken."""

    def __init__(self) -> None:
        self._last: Batch | None = None
        self._losses: list[Tensor] = []
        self._sizes: list[int] = []

    def note(self, batch: Batch, loss: Tensor) -> None:
        if batch is not self._last:
            self._last = batch
            self._losses.append(loss.detach())
            self._sizes.append(len(batch.targets))

    def stacked(self) -> Seen:
        return Seen(torch.stack(self._losses), self._sizes)
