"""Many clients at once for any module that torch.func can take: vmap over the gradient of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from federated.local_training.plan import Plan, gathered, planned
from federated.local_training.rule import Rule
from federated.local_training.updates import PartTrainer, Slots
from federated.local_training.work import LocalWork
from federated.objective import model_inputs
from federated.parameters import FlatModel

Gradients = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(parameters [c, P], inputs [c, B, ...], targets [c, B, ...]) -> (gradients [c, P], losses [c])."""


def vmapped_trainer(work: LocalWork) -> PartTrainer:
    """Trains as the loop does, in another order of sums. Raises ValueError where torch.func cannot.

    Clients with batches of one size share a call; nothing is padded, so examples of a batch may interact.
    """
    schedule, local = work.local.schedule.build(), work.local
    gradients = _gradients(work)
    _try_out(work, gradients)

    def train(received: Tensor, clients: Sequence[int], done: int, slots: Slots) -> None:
        rule = Rule(local.learning_rate * schedule(done, work.rounds), local.momentum, local.weight_decay)
        plan = planned(work, clients, done)
        weights = received.repeat(len(clients), 1)
        total = _steps(work, plan, gradients, rule, weights)
        rows = slots.rows[torch.from_numpy(plan.positions).to(received.device)]
        slots.deltas.index_copy_(0, rows, weights.sub_(received))
        slots.losses[rows.cpu()] = (total.cpu() / torch.from_numpy(plan.counts.sum(axis=1))).float()

    return train


def _steps(work: LocalWork, plan: Plan, gradients: Gradients, rule: Rule, weights: Tensor) -> Tensor:
    """Train weights [c, P] in place; the summed losses of each client [c]."""
    buffer = torch.zeros_like(weights) if rule.momentum else None
    total, gradient = weights.new_zeros(len(weights)), torch.empty_like(weights)
    for step, active in enumerate(plan.active):
        for rows, count in _of_one_size(plan.counts[:active, step]):
            at = torch.from_numpy(plan.examples[rows, step, :count]).to(weights.device)
            inputs = model_inputs(gathered(work.inputs, at))
            targets = gathered(work.targets, at)
            everyone = len(rows) == active
            among = slice(0, active) if everyone else torch.from_numpy(rows).to(weights.device)
            gradient[among], losses = gradients(weights[among], inputs, targets)
            total[among] += losses * count
        rule.descend(weights[:active], None if buffer is None else buffer[:active], gradient[:active])
    return total


def _of_one_size(counts: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """The rows of each number of examples, counts [c]."""
    for count in np.unique(counts):
        yield np.flatnonzero(counts == count), int(count)


def _gradients(work: LocalWork) -> Gradients:
    from torch.func import functional_call, grad_and_value, vmap  # imports torch._dynamo: more than a second

    module = FlatModel(work.model.module).module.train()  # its own: functional_call swaps parameters in place
    trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]

    def loss(flat: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        parts = torch.split(flat, [p.numel() for _, p in trained])
        parameters = {name: part.view(p.shape) for (name, p), part in zip(trained, parts, strict=True)}
        return work.loss(functional_call(module, parameters, (inputs,)), targets)

    return vmap(grad_and_value(loss))


def _try_out(work: LocalWork, gradients: Gradients) -> None:
    """A call with two clients of two examples each: dropout, branches on the data and the like fail."""
    vector = work.model.vector
    if vector.numel() != work.model.num_trainable:
        raise ValueError("the model has running statistics, which torch.func cannot change")
    inputs, targets = model_inputs(work.inputs[:2]), work.targets[:2]
    try:
        gradients(
            torch.stack([vector, vector]), torch.stack([inputs, inputs]), torch.stack([targets, targets])
        )
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise ValueError(f"torch.func cannot take the model: {str(error).splitlines()[0]}") from error
