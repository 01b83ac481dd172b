"""One client at a time: minibatch SGD on a module whose parameters are views of one flat vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from federated.local_training.batches import epoch_orders
from federated.local_training.lean import lean_forward
from federated.local_training.rule import Rule
from federated.local_training.updates import LocalTrainer, PartTrainer, Slots, Updates
from federated.local_training.work import LocalWork
from federated.local_training.workers import side_by_side
from federated.objective import Loss, model_inputs
from federated.parameters import FlatModel
from federated.randomness import Purpose, generator, torch_seeded, torch_watched

if TYPE_CHECKING:
    from federated.config import LocalTraining


def loop_trainer(
    model: FlatModel,
    loss: Loss,
    inputs: Tensor,
    targets: Tensor,
    clients: Sequence[np.ndarray],
    local: LocalTraining,
    rounds: int,
    seed: int,
    threads: int = 1,
) -> LocalTrainer:
    """The engine that every other one is held against, for any model.

    inputs [N, ...] and targets [N] or [N, outputs] of all examples; clients: the training examples of each.
    The step is that of torch.optim.SGD (momentum without dampening, weight decay in the gradient) from a
    zero momentum buffer in every round. A model that turns out to draw random numbers (dropout) goes on one
    client at a time, because torch's generator is one for all threads.
    """
    work = LocalWork(model, loss, inputs, targets, clients, local, rounds, seed)
    together = side_by_side(work, lambda: part_of_loop(_with_own_model(work), False), threads, 1)
    seeded = side_by_side(work, lambda: part_of_loop(work, True), 1, 1)
    draws = inputs.device.type != "cpu"

    def train(received: Tensor, cohort: Sequence[int], done: int) -> Updates:
        nonlocal draws
        if not draws:
            with torch_watched() as drew:
                updates = together(received, cohort, done)
            draws = drew()
        return seeded(received, cohort, done) if draws else updates

    return train


def _with_own_model(work: LocalWork) -> LocalWork:
    return work._replace(model=FlatModel(work.model.module))


def part_of_loop(work: LocalWork, seeded: bool) -> PartTrainer:
    """The loop over some clients. seeded: torch's own generator is a function of (seed, round, client)."""
    model, local, schedule = work.model, work.local, work.local.schedule.build()
    forward = lean_forward(model.module)

    def train(received: Tensor, clients: Sequence[int], done: int, slots: Slots) -> None:
        rate = local.learning_rate * schedule(done, work.rounds)
        model.train()
        for row, client in zip(slots.rows.tolist(), clients, strict=True):
            model.load(received)
            with torch_seeded(work.seed, Purpose.DROPOUT, done, client) if seeded else nullcontext():
                slots.losses[row] = _train_client(work, forward, rate, done, client)
            torch.sub(model.vector, received, out=slots.deltas[row])

    return train


def _train_client(
    work: LocalWork, forward: Callable[[Tensor], Tensor], rate: float, done: int, client: int
) -> float:
    """Train the model in place on one client's examples; the mean loss over all examples trained on."""
    step = _sgd(work.model, work.local, rate)
    losses: list[Tensor] = []
    sizes: list[int] = []
    for inputs, targets in _batches(work, done, client):
        value = work.loss(forward(inputs), targets)
        step(value)
        losses.append(value.detach())
        sizes.append(len(targets))
    return float(torch.stack(losses) @ torch.tensor(sizes).to(losses[0])) / sum(sizes)


def _batches(work: LocalWork, done: int, client: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The client's batches in turn, cut from an epoch's examples that are gathered in one call."""
    held, local = work.clients[client], work.local
    size = local.batch_size or len(held)
    numbers = generator(work.seed, Purpose.BATCHES, done, client)
    for order in epoch_orders(numbers, len(held), local.batch_size, local.epochs, local.steps):
        at = torch.from_numpy(held[order]).to(work.inputs.device)
        inputs, targets = model_inputs(work.inputs.index_select(0, at)), work.targets.index_select(0, at)
        yield from zip(torch.split(inputs, size), torch.split(targets, size), strict=True)


def _sgd(model: FlatModel, local: LocalTraining, rate: float) -> Callable[[Tensor], None]:
    """A step of torch.optim.SGD down the gradient of a loss, in place, from a zero momentum buffer."""
    rule = Rule(rate, local.momentum, local.weight_decay)
    weights = model.vector[: model.num_trainable]
    buffer = torch.zeros_like(weights) if local.momentum else None
    return lambda loss: rule.descend(weights, buffer, model.gradient(loss))
