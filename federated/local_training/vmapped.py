"""Many clients at once for any module that torch.func can take: vmap over the gradient of one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from federated.algorithms.local_terms import LocalTerms
from federated.local_training.steps.autocast import in_precision
from federated.local_training.steps.batches import placed
from federated.local_training.steps.dropout import DropoutGenerators, Masks, dropout_key
from federated.local_training.steps.plan import Plan, gathered, planned
from federated.local_training.steps.sgd import Rule, memory_of, rule_of
from federated.local_training.steps.updates import PartTrainer, Slots, received_by
from federated.local_training.steps.work import LocalWork, Precision
from federated.models.objective import model_inputs

# How far a gradient may be from autograd's, as a share of its norm: rounding, which is coarse in bfloat16.
_ALIKE: dict[Precision, float] = {"float32": 1e-2, "bfloat16": 0.5}


Gradients = Callable[
    [Tensor, Tensor, Tensor, Tensor | None, Tensor | None, list[Tensor]], tuple[Tensor, Tensor]
]


class Batched(NamedTuple):
    """A module's gradient for many clients at once, and what its dropout layers ask for.

    gradients: (parameters [c, P], or [P] of all, inputs [c, B, ...], targets [c, B, ...], weights [c, B] or None,
        offsets [c, K], [K] of all, or None, masks) -> (gradients [c, P], losses [c]).
    sites: examples in a batch -> dropout of one client, in order: (number of the layer, a tensor like its inputs).
    """

    gradients: Gradients
    sites: Callable[[int], list[tuple[int, Tensor]]]
    masks: Masks


def vmapped_trainer(work: LocalWork) -> PartTrainer:
    """Trains as the loop does, in another order of sums. Raises ValueError where torch.func cannot.

    Clients with batches of one size share a call; nothing is padded, so examples of a batch may interact.
    """
    batched = batched_module(work)
    try_out(work, batched)
    return stacked_steps(work, batched)


def stacked_steps(work: LocalWork, batched: Batched) -> PartTrainer:
    """The steps of many clients at once, by a module's gradients for all of them."""
    schedule = work.local.schedule.build()

    def train(received: Tensor, clients: Sequence[int], done: int, terms: LocalTerms, slots: Slots) -> None:
        plan = planned(work, clients, done, terms)
        received = received_by(received, plan.positions)
        own = terms.of(plan.positions)
        rule = rule_of(work.local, schedule(done, work.rounds), own, received)
        weights = received.repeat(len(clients), 1) if received.dim() == 1 else received.clone()
        draws = [
            DropoutGenerators(*dropout_key(work, clients[at], done, terms.stream)) for at in plan.positions
        ]
        offsets = None if own.offsets is None else own.offsets.to(weights)
        total = _steps(work, plan, batched, draws, rule, weights, offsets)
        rows = slots.rows[plan.positions]
        slots.deltas.index_copy_(0, rows.to(received.device), weights.sub_(received))
        slots.losses[rows] = (total.cpu() / torch.from_numpy(plan.counts.sum(axis=1))).float()

    return train


def _steps(
    work: LocalWork,
    plan: Plan,
    batched: Batched,
    draws: Sequence[DropoutGenerators],
    rule: Rule,
    weights: Tensor,
    offsets: Tensor | None,
) -> Tensor:
    """Train weights [c, P] in place; the summed losses of each client [c]."""
    memory = memory_of(rule, weights)
    total, gradient = weights.new_zeros(len(weights)), torch.empty_like(weights)
    examples = placed(plan.examples, weights.device)
    for step, (active, groups) in enumerate(zip(plan.active, _groups(plan, weights.device), strict=True)):
        for rows, among, count in groups:
            at = examples[among, step, :count]
            inputs = model_inputs(gathered(work.inputs, at))
            targets = gathered(work.targets, at)
            factors = None if work.weights is None else gathered(work.weights, at)
            masks = drawn_masks(batched, [draws[row] for row in rows], count)
            shifts = None if offsets is None else offsets[among]
            gradient[among], losses = batched.gradients(
                weights[among], inputs, targets, factors, shifts, masks
            )
            total[among] += losses * count
        rule.clip([gradient[:active]])
        now = {name: rows[:active] for name, rows in memory.items()}
        rule.first(active).descend(weights[:active], now, gradient[:active], step + 1)
    return total


class _Group(NamedTuple):
    """Clients whose batches in a step have one size: their rows, int64 [k]; the same as an index; the size."""

    rows: np.ndarray
    among: slice | Tensor
    size: int


def _groups(plan: Plan, device: torch.device) -> list[list[_Group]]:
    """The groups of each step. All indices go to the device at once, so that no step waits for a copy."""
    steps = [list(_of_one_size(plan.counts[:active, step])) for step, active in enumerate(plan.active)]
    some = [
        rows
        for active, groups in zip(plan.active, steps, strict=True)
        for rows, _ in groups
        if len(rows) < active
    ]
    sizes = [len(rows) for rows in some]
    parts = iter(torch.split(placed(np.concatenate(some), device), sizes) if some else ())
    return [
        [
            _Group(rows, slice(0, active) if len(rows) == active else next(parts), count)
            for rows, count in groups
        ]
        for active, groups in zip(plan.active, steps, strict=True)
    ]


def _of_one_size(counts: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """The rows of each number of examples, counts [c]."""
    for count in np.unique(counts):
        yield np.flatnonzero(counts == count), int(count)


def drawn_masks(batched: Batched, draws: Sequence[DropoutGenerators], num_examples: int) -> list[Tensor]:
    """The masks for each dropout layer of these clients in turn, [c, ...] each."""
    if not batched.masks.rates:
        return []
    sites = batched.sites(num_examples)
    of_each: list[list[Tensor]] = []
    for generators in draws:
        batched.masks.draw_from(generators)
        of_each.append([batched.masks.draw(layer, like) for layer, like in sites])
    return [torch.stack(column) for column in zip(*of_each, strict=True)]


def batched_module(work: LocalWork) -> Batched:
    from torch.func import functional_call, grad_and_value, vmap  # imports torch._dynamo: more than a second

    warnings.filterwarnings(
        "ignore", "There is a performance drop because"
    )  # of recurrent layers; a probe measures it
    model = work.model.twin()  # its own: functional_call swaps parameters in place
    model.train()
    module = model.module
    trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    sources = Masks(module)
    forward = in_precision(work, partial(functional_call, module))

    def loss(
        flat: Tensor,
        inputs: Tensor,
        targets: Tensor,
        factors: Tensor | None,
        offset: Tensor | None,
        masks: list[Tensor],
    ) -> Tensor:
        parts = torch.split(flat, [p.numel() for _, p in trained])
        parameters = {name: part.view(p.shape) for (name, p), part in zip(trained, parts, strict=True)}
        given = iter(masks)
        sources.draw = lambda layer, inputs: next(given)
        outputs = forward(parameters, (inputs,))
        return work.loss(outputs if offset is None else outputs + offset, targets, factors)

    @lru_cache(maxsize=64)
    def sites(num_examples: int) -> list[tuple[int, Tensor]]:
        asked: list[tuple[int, Tensor]] = []

        def ask(layer: int, inputs: Tensor) -> Tensor:
            asked.append((layer, torch.empty_like(inputs)))
            return torch.ones_like(inputs)

        sources.draw = ask
        with torch.no_grad():
            example = model_inputs(work.inputs[:1]).expand(num_examples, *work.inputs.shape[1:])
            forward({}, (example,))
        return asked

    def gradients(
        flat: Tensor,
        inputs: Tensor,
        targets: Tensor,
        factors: Tensor | None,
        offsets: Tensor | None,
        masks: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        own = None if offsets is None or offsets.dim() == 1 else 0
        rows = (0 if flat.dim() > 1 else None, 0, 0, None if factors is None else 0, own, 0)
        found: tuple[Tensor, Tensor] = vmap(grad_and_value(loss), in_dims=rows)(
            flat, inputs, targets, factors, offsets, masks
        )
        return found

    return Batched(gradients, sites, sources)


def try_out(work: LocalWork, batched: Batched) -> None:
    """A call with two clients of two examples each: random numbers, branches on the data and the like fail.

    Nor may the gradient be another than autograd's, as where a module reaches a parameter past its own names, which
    torch.func does not replace. Raises ValueError.
    """
    vector = work.model.vector
    if vector.numel() != work.model.num_trainable:
        raise ValueError(
            "the model has running statistics, or residuals beside frozen weights, which torch.func cannot change"
        )
    inputs, targets = model_inputs(work.inputs[:2]), work.targets[:2]
    try:
        pairs = [torch.stack([value, value]) for value in (vector, inputs, targets)]
        masks = [torch.stack([like, like]) for _, like in batched.sites(len(inputs))]
        factors = None if work.weights is None else work.weights[:2].expand(2, -1)
        ones = [torch.ones_like(mask) for mask in masks]
        found = batched.gradients(pairs[0], pairs[1], pairs[2], factors, None, ones)[0]
    except Exception as error:  # the model may be anybody's
        raise ValueError(f"torch.func cannot take the model: {str(error).partition(chr(10))[0]}") from error
    expected = _by_autograd(work, inputs, targets)
    distance = torch.linalg.vector_norm(found[0] - expected)
    if not distance <= _ALIKE[work.precision] * torch.linalg.vector_norm(expected):
        raise ValueError("torch.func finds another gradient for the model than autograd")


def _by_autograd(work: LocalWork, inputs: Tensor, targets: Tensor) -> Tensor:
    """The gradient [P] on one client's batch, with nothing dropped."""
    model = work.model.twin()
    Masks(model.module).draw = lambda layer, like: torch.ones_like(like)
    model.train()
    factors = None if work.weights is None else work.weights[:2]
    return model.gradient(work.loss(in_precision(work, model.module)(inputs), targets, factors))
