"""One client at a time: minibatch steps on a module whose parameters are views of one flat vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import lru_cache, partial
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from federated.algorithms.local_terms import NO_TERMS, Contrast, LocalTerms
from federated.foundation.randomness import torch_watched
from federated.local_training.by_example.one_client import part_by_example
from federated.local_training.contrasting import Contrasting
from federated.local_training.own_steps import Gradients, take_own_steps
from federated.local_training.steps.autocast import in_precision
from federated.local_training.steps.batches import Batch, Length, epochs
from federated.local_training.steps.dropout import DropoutGenerators, Masks, dropout_key, torch_seeded_for
from federated.local_training.steps.plan import lengths_of
from federated.local_training.steps.seen import Seen, mean_losses
from federated.local_training.steps.sgd import Rule, memory_of, rule_of
from federated.local_training.steps.side_by_side import side_by_side
from federated.local_training.steps.updates import LocalTrainer, PartTrainer, Slots, Updates
from federated.local_training.steps.work import LocalWork, Origin, Precision
from federated.losses import Loss
from federated.models.flat_model import FlatModel
from federated.models.objective import model_inputs
from federated.privacy import PerExample

if TYPE_CHECKING:
    from federated.config.run import LocalTraining


def loop_trainer(
    model: FlatModel,
    loss: Loss,
    inputs: Tensor,
    targets: Tensor,
    clients: Sequence[np.ndarray],
    local: LocalTraining,
    rounds: int,
    seed: int,
    precision: Precision = "float32",
    weights: Tensor | None = None,
    per_example: PerExample | None = None,
    micro_batch: int | None = None,
    origins: Sequence[Origin] | None = None,
    threads: int = 1,
) -> LocalTrainer:
    """The engine that every other one is held against, for any model.

    inputs [N, ...] and targets [N] or [N, outputs] of all examples; clients: the training examples of each.
    The step is that of torch.optim.SGD (momentum without dampening, weight decay in the gradient) from a
    zero momentum buffer in every round, or that of the optimiser that is stated. The masks of nn.Dropout are
    drawn for each client; a model that turns out to draw other random numbers goes on one client at a time,
    because torch's generator is one for all threads. per_example: see `part_by_example`. micro_batch: the gradient of a
    batch is added up over pieces of so many examples; the step is the same to rounding, but for what dropout draws.
    """
    work = LocalWork(
        model,
        loss,
        inputs,
        targets,
        clients,
        local,
        rounds,
        seed,
        precision,
        weights,
        per_example,
        micro_batch,
        origins,
    )
    part = part_of_loop if per_example is None else part_by_example
    # Several threads deal single clients among them. A GPU has one, which so brings all losses back at once.
    at_a_time = 1 if inputs.is_cpu else max(1, len(clients))
    together = side_by_side(work, lambda: part(work, False), threads, at_a_time, loop=True)
    seeded = side_by_side(work, lambda: part(work, True), 1, at_a_time, loop=True)
    draws = inputs.device.type != "cpu"

    def train(received: Tensor, cohort: Sequence[int], done: int, terms: LocalTerms = NO_TERMS) -> Updates:
        nonlocal draws
        if not draws:
            with torch_watched() as drew:
                updates = together(received, cohort, done, terms)
            draws = drew()
        return seeded(received, cohort, done, terms) if draws else updates

    return train


def part_of_loop(work: LocalWork, seeded: bool) -> PartTrainer:
    """The loop over some clients. seeded: torch's own generator is a function of (seed, round, client)."""
    model, unchanged = work.model.twin(), work
    work, masks, schedule = work._replace(model=model), Masks(model.module), work.local.schedule.build()
    objective = _objective(work)
    contrasting = lru_cache(maxsize=1)(lambda: Contrasting(unchanged, model))

    def train(received: Tensor, clients: Sequence[int], done: int, terms: LocalTerms, slots: Slots) -> None:
        factor = schedule(done, work.rounds)
        lengths = lengths_of(work, clients, done, terms)
        model.train()
        seen: list[Seen] = []
        for at, (row, client) in enumerate(zip(slots.rows.tolist(), clients, strict=True)):
            own = received if received.dim() == 1 else received[at]
            model.load(own)
            masks.draw_from(DropoutGenerators(*dropout_key(work, client, done, terms.stream)))
            rule = rule_of(work.local, factor, terms.of([at]), own[: model.num_trainable])
            with (
                torch_seeded_for(*dropout_key(work, client, done, terms.stream)) if seeded else nullcontext()
            ):
                batches = _batches(work, done, client, lengths[at], terms.stream)
                offset = None if terms.offsets is None else terms.offsets[at].to(model.vector)
                more = _contrast(contrasting, terms.contrast, at, own)
                gradients = partial(_gradients, work, partial(objective, offset=offset, more=more))
                if terms.own_steps is None:
                    among = None if rule.moves is None else model.holding(rule.moves[0])
                    seen.append(_train_client(model, partial(gradients, among=among), rule, batches))
                else:
                    steps, rate = terms.own_steps.of(np.array([at])), work.local.learning_rate * factor
                    seen.append(take_own_steps(work, model, gradients, steps, rate, batches, slots, row))
            torch.sub(model.vector, own, out=slots.deltas[row])
        for row, loss in zip(slots.rows.tolist(), mean_losses(seen), strict=True):
            slots.losses[row] = loss

    return train


Term = Callable[[Batch], Tensor]
"""A batch, its inputs ready for the model -> the mean of something over it."""


Objective = Callable[[Batch], tuple[Tensor, Tensor | None]]
"""A batch -> (the mean loss, which is reported; what is minimised besides) of the model as it is."""


def _objective(work: LocalWork) -> Callable[..., tuple[Tensor, Tensor | None]]:
    """The objective of the model as it is at the time; offset [K]: what is added to its outputs; more: to its loss."""
    forward = in_precision(work, work.model.module)

    def objective(batch: Batch, offset: Tensor | None, more: Term | None) -> tuple[Tensor, Tensor | None]:
        outputs = forward(batch.inputs)
        outputs = outputs if offset is None else outputs + offset
        loss = work.loss(outputs, batch.targets, batch.weights)
        return loss, None if more is None else more(batch)

    return objective


def _gradients(
    work: LocalWork, objective: Objective, batch: Batch, among: Sequence[bool] | None = None
) -> tuple[Tensor, Tensor]:
    """(the mean loss of a batch, the gradient [T] of what is minimised), added up over its pieces where it has some.

    The loss of a piece weighs by how many numbers its mean is over, such as positions that count; what is minimised
    besides by the piece's examples. among: see `FlatModel.gradient`.
    """
    size = work.micro_batch
    if size is None or size >= len(batch.targets):
        loss, more = objective(batch)
        return loss.detach(), work.model.gradient(loss if more is None else loss + more, among)
    counted, total, found = max(work.loss.counted(batch.targets), 1), None, None
    for piece in batch.split(size):
        loss, more = objective(piece)
        loss = loss * (work.loss.counted(piece.targets) / counted)
        minimised = loss if more is None else loss + more * (len(piece.targets) / len(batch.targets))
        gradient = work.model.gradient(minimised, among)
        found = gradient if found is None else found.add_(gradient)
        total = loss.detach() if total is None else total + loss.detach()
    assert total is not None
    assert found is not None
    return total, found


def _contrast(
    made: Callable[[], Contrasting], contrast: Contrast | None, at: int, received: Tensor
) -> Term | None:
    """What the loss of the client at this place has besides, where it has something."""
    if contrast is None or not contrast.known[at]:
        return None
    contrasting = made()
    contrasting.begin(received, contrast.previous[at].to(received))
    return partial(contrasting, contrast)


def _train_client(model: FlatModel, gradients: Gradients, rule: Rule, batches: Iterator[Batch]) -> Seen:
    """Train the model in place on one client's batches; their losses."""
    step = _stepper(model, rule)
    losses: list[Tensor] = []
    sizes: list[int] = []
    for batch in batches:
        loss, gradient = gradients(batch)
        step(gradient)
        losses.append(loss)
        sizes.append(len(batch.targets))
    return Seen(torch.stack(losses), sizes)


def _batches(work: LocalWork, done: int, client: int, length: Length, stream: int) -> Iterator[Batch]:
    """The client's batches in turn."""
    for epoch in epochs(work, done, client, length, stream):
        ready = epoch._replace(inputs=model_inputs(epoch.inputs))
        yield from ready.split(work.local.batch_size or len(epoch.inputs))


def _stepper(model: FlatModel, rule: Rule) -> Callable[[Tensor], None]:
    """A step of the rule down a gradient [T], in place, from a memory of zeros."""
    weights = model.vector[None, : model.num_trainable]
    memory, steps = memory_of(rule, weights), count(1)

    def step(gradient: Tensor) -> None:
        rule.clip([gradient[None]])
        rule.descend(weights, memory, gradient[None], next(steps))

    return step
