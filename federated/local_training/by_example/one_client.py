"""Differentially private steps of one client after another, for any model without batch normalisation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import count
from typing import NamedTuple

import torch
from torch import Tensor

from federated.algorithms.local_terms import LocalTerms
from federated.local_training.by_example.gradients import ExampleGradients, example_gradients
from federated.local_training.by_example.noise import Noise, shares_kept, without_lost
from federated.local_training.by_example.poisson import expected_batch, poisson_batches
from federated.local_training.steps.batches import Batch, batch_of
from federated.local_training.steps.dropout import DropoutGenerators, dropout_key, torch_seeded_for
from federated.local_training.steps.plan import lengths_of
from federated.local_training.steps.sgd import Rule, memory_of, rule_of
from federated.local_training.steps.updates import PartTrainer, Slots
from federated.local_training.steps.work import LocalWork
from federated.models.flat_model import FlatModel
from federated.models.objective import model_inputs
from federated.privacy import PerExample


def part_by_example(work: LocalWork, seeded: bool) -> PartTrainer:
    """A loop over some clients. seeded: torch's own generator is a function of (seed, round, client).

    Abadi et al. 2016, "Deep Learning with Differential Privacy", algorithm 1: in each step, the gradient of each
    example of a Poisson batch is scaled down to a norm of at most C; to their sum is added Gaussian noise of standard
    deviation z C; the result is divided by the mean number of examples in a batch, which does not depend on who is in
    it. An empty batch so is a step along noise. The optimiser, weight decay and an algorithm's correction work on what
    comes of that, and see nothing else of the examples.
    """
    assert work.per_example is not None
    private, model = work.per_example, work.model.twin()
    work, schedule = work._replace(model=model), work.local.schedule.build()
    gradients = example_gradients(work, model)

    def train(received: Tensor, clients: Sequence[int], done: int, terms: LocalTerms, slots: Slots) -> None:
        if terms.contrast is not None or terms.own_steps is not None:
            raise ValueError("steps with bounds on single examples are of the loss alone")
        factor, lengths = schedule(done, work.rounds), lengths_of(work, clients, done, terms)
        model.train()
        for at, (row, client) in enumerate(zip(slots.rows.tolist(), clients, strict=True)):
            own = received if received.dim() == 1 else received[at]
            model.load(own)
            rule = rule_of(work.local, factor, terms.of([at]), own[: model.num_trainable])
            offset = None if terms.offsets is None else terms.offsets[at].to(model.vector)
            draws = DropoutGenerators(*dropout_key(work, client, done, terms.stream))
            batches = poisson_batches(work, done, client, lengths[at], terms.stream)
            noise = Noise(work, done, client, terms.stream)
            expected = expected_batch(len(work.clients[client]), work.local.batch_size)
            with (
                torch_seeded_for(*dropout_key(work, client, done, terms.stream)) if seeded else nullcontext()
            ):
                found = (
                    _clipped_sum(private, rule, model, gradients, batch_of(work, batch), offset, draws)
                    for batch in batches
                )
                moving = model.vector[None, : model.num_trainable]
                slots.losses[row], bounded = private_steps(moving, rule, found, noise, expected)
                if slots.bounded is not None:
                    slots.bounded[row] = bounded.cpu()
            torch.sub(model.vector, own, out=slots.deltas[row])

    return train


def private_steps(
    weights: Tensor, rule: Rule, found: Iterator[ClippedSum], noise: Noise, expected: int
) -> tuple[float, Tensor]:
    """Step the weights [1, T] in place along each sum in turn, with noise, over the examples that are expected.

    Returns (the losses over these, int64 [2] as in `Updates.bounded`).
    """
    memory, steps = memory_of(rule, weights), count(1)
    losses: list[Tensor] = []
    bounded = weights.new_zeros(2, dtype=torch.int64)
    for each in found:
        noise.add_to(each.total)
        rule.descend(weights, memory, each.total.div_(expected)[None], next(steps))
        losses.append(each.loss)
        bounded += each.bounded
    return float(torch.stack(losses).sum()) / (expected * len(losses)), bounded


class ClippedSum(NamedTuple):
    """total [T]: the sum of a batch's gradients, each bounded in the part that moves. loss: the sum of its losses.
    bounded: int64 [2], as in `Updates.bounded`."""

    total: Tensor
    loss: Tensor
    bounded: Tensor


def _clipped_sum(
    private: PerExample,
    rule: Rule,
    model: FlatModel,
    gradients: ExampleGradients,
    batch: Batch,
    offset: Tensor | None,
    draws: DropoutGenerators,
) -> ClippedSum:
    total, losses = model.vector.new_zeros(model.num_trainable), model.vector.new_zeros(())
    bounded = total.new_zeros(2, dtype=torch.int64)
    if not len(batch.inputs):
        return ClippedSum(total, losses, bounded)
    ready = batch._replace(inputs=model_inputs(batch.inputs))
    for rows, loss in gradients(ready, offset, draws):
        moving = rows if rule.moves is None else rows * rule.moves
        kept = shares_kept(private, torch.linalg.vector_norm(moving, dim=1))
        total += kept.to(moving) @ without_lost(moving, kept)
        losses += loss.detach().sum()
        bounded[0] += (kept < 1).sum()
        bounded[1] += len(kept)
    return ClippedSum(total, losses, bounded)
