"""The received model on all of a client's training examples, before its first step: its loss and its gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from federated.algorithms import Start
from federated.local_training.steps.autocast import in_precision
from federated.local_training.steps.batches import batch_of
from federated.local_training.steps.side_by_side import each_in_threads
from federated.local_training.steps.updates import received_by
from federated.local_training.steps.work import LocalWork
from federated.models.objective import model_inputs

_MOST_EXAMPLES = 1024  # that go through the model at a time


def at_start(
    work: LocalWork, received: Tensor, clients: Sequence[int], threads: int, *, gradients: bool
) -> Start:
    """What these clients know of the model that they received, [P] or [c, P]. gradients: those too.

    Nothing is dropped, and batch normalisation uses the statistics received. By autograd whatever the engine, one
    client after another on each thread, so that engines and threads change nothing in it.
    """
    parts = np.array_split(np.arange(len(clients)), threads if received.is_cpu else 1)
    of_parts = each_in_threads(
        lambda part: _of_part(work, received_by(received, part), [clients[at] for at in part], gradients),
        [part for part in parts if len(part)],
        threads,
    )
    losses, found = zip(*of_parts, strict=True)
    return Start(torch.cat(losses), torch.cat(found) if gradients else None)


def _of_part(
    work: LocalWork, received: Tensor, clients: Sequence[int], gradients: bool
) -> tuple[Tensor, Tensor]:
    """(losses [c], gradients [c, T], or none of them) of clients of one thread, by a model of its own."""
    model = work.model.twin()
    decay = 0.0 if work.local.optimiser.build().decoupled else work.local.weight_decay
    work, trainable = work._replace(model=model), model.num_trainable
    losses = received.new_zeros(len(clients))
    found = received.new_zeros(len(clients) if gradients else 0, trainable)
    for row, client in enumerate(clients):
        model.load(received if received.dim() == 1 else received[row])
        model.module.eval()
        for loss in _shares(work, client, gradients):
            losses[row] += loss.detach()
            if gradients:
                found[row] += model.gradient(loss)
        if gradients:
            found[row].add_(model.vector[:trainable], alpha=decay)
    return losses, found


def _shares(work: LocalWork, client: int, gradients: bool) -> Iterator[Tensor]:
    """Scalars whose sum is the client's mean loss, each of as many examples as fit in memory."""
    held, forward = work.clients[client], in_precision(work, work.model.module)
    everything = work.loss.counted(work.targets[torch.from_numpy(held).to(work.targets.device)])
    for start in range(0, len(held), _MOST_EXAMPLES):
        batch = batch_of(work, held[start : start + _MOST_EXAMPLES])
        with torch.set_grad_enabled(gradients):
            loss = work.loss(forward(model_inputs(batch.inputs)), batch.targets, batch.weights)
            yield loss * (work.loss.counted(batch.targets) / max(everything, 1))
