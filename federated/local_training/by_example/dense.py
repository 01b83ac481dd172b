"""Differentially private steps of many clients at once, for stacks of dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from federated.algorithms.local_terms import LocalTerms
from federated.local_training.by_example.noise import Noise, shares_kept, without_lost
from federated.local_training.by_example.poisson import PoissonPlan, poisson_plan
from federated.local_training.dense.activations import activate, through
from federated.local_training.dense.masks import StackedMasks
from federated.local_training.dense.recognise import Dense
from federated.local_training.dense.trainer import of_like_width
from federated.local_training.steps.dropout import dropout_key
from federated.local_training.steps.plan import PlanThere, gathered
from federated.local_training.steps.sgd import memory_of, rule_of
from federated.local_training.steps.updates import PartTrainer, Slots, received_by
from federated.local_training.steps.work import LocalWork
from federated.models.objective import model_inputs


def dense_by_example(work: LocalWork, layers: Sequence[Dense]) -> PartTrainer:
    """Trains as `part_by_example` does, in another order of sums. `layers` as `linear_stack` found them.

    No example's gradient is ever held: that of a layer is the product of its errors d and its inputs h, of norm
    ||d|| ||h||, and a bounded one that of bounded errors (Goodfellow 2015, "Efficient Per-Example Gradient
    Computations").
    """
    schedule = work.local.schedule.build()

    def train(received: Tensor, clients: Sequence[int], done: int, terms: LocalTerms, slots: Slots) -> None:
        for some in of_like_width(work, clients):
            _train_alike(work, layers, schedule(done, work.rounds), received_by(received, some), done,
                         [clients[at] for at in some], terms.of(some), slots, slots.rows[some])  # fmt: skip

    return train


def _train_alike(
    work: LocalWork,
    layers: Sequence[Dense],
    factor: float,
    received: Tensor,
    done: int,
    clients: Sequence[int],
    terms: LocalTerms,
    slots: Slots,
    rows: Tensor,
) -> None:
    """Train clients whose batches are of about one size. factor: on the learning rate; rows: of the slots."""
    plan = poisson_plan(work, clients, done, terms)
    received, own = received_by(received, plan.positions), terms.of(plan.positions)
    rule = rule_of(work.local, factor, own, received)
    weights = received.repeat(len(clients), 1) if received.dim() == 1 else received.clone()
    memory, total = memory_of(rule, weights), weights.new_zeros(len(weights))
    longer = torch.zeros(len(weights), dtype=torch.int64, device=weights.device)
    noises = [Noise(work, done, clients[at], terms.stream) for at in plan.positions]
    keys = [dropout_key(work, clients[at], done, terms.stream) for at in plan.positions]
    masks = StackedMasks(layers, keys)
    expected = torch.from_numpy(plan.expected).to(weights)[:, None]
    moves = None if rule.moves is None else rule.moves[0]
    there = plan.on(weights.device)
    for step, active in enumerate(plan.active):
        offsets = None if own.offsets is None else own.offsets[:active].to(weights)
        batch = _batch(work, layers, plan, there, step, active, masks, offsets)
        gradient, losses, clipped = _clipped_sums(work, layers, weights[:active], batch, moves)
        for row, noise in zip(gradient, noises, strict=False):
            noise.add_to(row)
        now = {name: remembered[:active] for name, remembered in memory.items()}
        rule.first(active).descend(weights[:active], now, gradient.div_(expected[:active]), step + 1)
        total[:active] += losses
        longer[:active] += clipped
    at = rows[plan.positions]
    slots.deltas.index_copy_(0, at.to(weights.device), weights.sub_(received))
    if slots.bounded is not None:
        drawn = torch.from_numpy(plan.counts.sum(axis=1))
        slots.bounded[at] = torch.stack([longer.cpu(), drawn], dim=1)
    slots.losses[at] = (total.cpu() / torch.from_numpy(plan.expected * plan.steps)).float()


class _Step(NamedTuple):
    """The examples of a step of c clients, B of each, of which `real` [c, B] are in the batch.

    inputs [c, B, n]; targets [c, B, ...]; factors [c, B] of the losses, or None; masks of each layer's inputs,
    [c, B, inputs] or None; offsets of the outputs, [c, K], or None.
    """

    inputs: Tensor
    targets: Tensor
    real: Tensor
    factors: Tensor | None
    masks: Sequence[Tensor | None]
    offsets: Tensor | None


def _batch(
    work: LocalWork,
    layers: Sequence[Dense],
    plan: PoissonPlan,
    there: PlanThere,
    step: int,
    active: int,
    masks: StackedMasks,
    offsets: Tensor | None,
) -> _Step:
    counts = plan.counts[:active, step]
    width = max(1, int(counts.max()))
    at = there.examples[:active, step, :width]
    inputs = model_inputs(gathered(work.inputs, at)).flatten(2)
    real = torch.arange(width, device=at.device) < there.counts[:active, step, None]
    drawn = masks.draw(counts[:, None], width, inputs)
    factors = None if work.weights is None else gathered(work.weights, at)
    return _Step(inputs, gathered(work.targets, at), real.to(inputs), factors, drawn, offsets)


def _clipped_sums(
    work: LocalWork, layers: Sequence[Dense], weights: Tensor, batch: _Step, moves: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """(the sum of each client's gradients, each bounded, [c, T]; the sums of their losses [c]; how many were longer).

    weights [c, T]; moves: 1 for a parameter that moves and 0 for another, [T], or None.
    """
    private, criterion = work.per_example, work.loss.kernel
    assert private is not None
    assert criterion is not None
    inputs, activated = _forward(layers, weights, batch)
    outputs = activated[-1] if batch.offsets is None else activated[-1] + batch.offsets[:, None]
    columns, last = outputs.transpose(1, 2), layers[-1].outputs
    given = batch.real if batch.factors is None else batch.real * batch.factors
    scaled = given * criterion.scale(last)
    aims = criterion.aims(batch.targets, scaled, last)
    errors = (criterion.predict(columns) * scaled[:, None] - aims).transpose(1, 2)
    of_layers = _backward(layers, weights, batch, errors.contiguous(), activated)
    squares = sum(
        squared_norms(layer, h, d, moves) for layer, h, d in zip(layers, inputs, of_layers, strict=True)
    )
    assert isinstance(squares, Tensor)
    kept = shares_kept(private, squares.sqrt())
    gradient = torch.empty_like(weights)
    for layer, h, d in zip(layers, inputs, of_layers, strict=True):
        bounded = without_lost(d, kept) * kept[..., None]
        gradient[:, layer.weight] = torch.bmm(bounded.transpose(1, 2), without_lost(h, kept)).flatten(1)
        if layer.bias is not None:
            gradient[:, layer.bias] = bounded.sum(dim=1)
    losses = (criterion.losses(columns, batch.targets) * given).sum(dim=1)
    return gradient, losses, ((kept < 1) & batch.real.bool()).sum(dim=1)


def _forward(layers: Sequence[Dense], weights: Tensor, batch: _Step) -> tuple[list[Tensor], list[Tensor]]:
    """(what goes into each layer [c, B, inputs], what comes out of its activation [c, B, outputs])."""
    inputs: list[Tensor] = []
    activated: list[Tensor] = []
    values = batch.inputs
    for layer, mask in zip(layers, batch.masks, strict=True):
        inputs.append(values if mask is None else values * mask)
        matrix = weights[:, layer.weight].view(-1, layer.outputs, layer.inputs).transpose(1, 2)
        if layer.bias is None:
            values = torch.bmm(inputs[-1], matrix)
        else:
            values = torch.baddbmm(weights[:, None, layer.bias], inputs[-1], matrix)
        activated.append(activate(values, layer.activation))
    return inputs, activated


def _backward(
    layers: Sequence[Dense], weights: Tensor, batch: _Step, errors: Tensor, activated: Sequence[Tensor]
) -> list[Tensor]:
    """The errors of each layer before its activation, [c, B, outputs]; errors: of the last one after it."""
    found: list[Tensor] = []
    for depth in reversed(range(len(layers))):
        layer = layers[depth]
        found.append(through(errors, activated[depth], layer.activation))
        if depth:
            matrix = weights[:, layer.weight].view(-1, layer.outputs, layer.inputs)
            errors, mask = torch.bmm(found[-1], matrix), batch.masks[depth]
            errors = errors if mask is None else errors.mul_(mask)
    return found[::-1]


def squared_norms(layer: Dense, inputs: Tensor, errors: Tensor, moves: Tensor | None) -> Tensor:
    """The squared norm of the gradient of each example in a layer's parameters, those that move, [c, B]."""
    if moves is None:
        lengths = inputs.square().sum(dim=2) + (0 if layer.bias is None else 1)
        return errors.square().sum(dim=2) * lengths
    squares = errors.square()
    matrix = moves[layer.weight].view(layer.outputs, layer.inputs)
    of_weight = ((squares @ matrix) * inputs.square()).sum(dim=2)
    return of_weight if layer.bias is None else of_weight + squares @ moves[layer.bias]
