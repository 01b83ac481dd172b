"""A whole cohort at once, for stacks of dense layers: one batched product where the loop has one a client."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from federated.local_training.criterion import Criterion, criterion_of
from federated.local_training.first_layer import Direct, Dual, FirstLayer
from federated.local_training.linear_stack import Activation, Dense
from federated.local_training.plan import Plan, gathered, planned
from federated.local_training.rule import Rule
from federated.local_training.stacked_dense import StackedDense
from federated.local_training.updates import PartTrainer, Slots
from federated.local_training.work import LocalWork
from federated.objective import model_inputs

# Examples of each client that are gathered at a time; 40 was as good as 20 to 100 for layers of 200 outputs.
BLOCK_EXAMPLES = 40
# The dual form needs block / (2 outputs) more arithmetic for products that run about twice as fast.
_DUAL_OUTPUTS = 64


def stacked_trainer(
    work: LocalWork, layers: Sequence[Dense], block_examples: int = BLOCK_EXAMPLES
) -> PartTrainer:
    """Trains as the loop does, in another order of sums. `layers` as `linear_stack` found them."""
    schedule, local = work.local.schedule.build(), work.local
    criterion = criterion_of(work.loss)

    def train(received: Tensor, clients: Sequence[int], done: int, slots: Slots) -> None:
        rule = Rule(local.learning_rate * schedule(done, work.rounds), local.momentum, local.weight_decay)
        for alike in _alike(work, clients):
            members = [clients[at] for at in alike]
            plan = planned(work, members, done)
            stack = [StackedDense(dense, received, len(alike), rule) for dense in layers]
            total = torch.zeros(len(alike), dtype=received.dtype, device=received.device)
            for steps in plan.blocks(max(1, block_examples // plan.examples.shape[2])):
                total[: plan.active[steps.start]] += _train_block(stack, Block(work, criterion, plan, steps))
            _write(plan, stack, received, total, slots, slots.rows[torch.tensor(alike).to(slots.rows.device)])

    return train


def _alike(work: LocalWork, clients: Sequence[int]) -> list[list[int]]:
    """Positions of the clients, those together whose batches differ in width by less than a factor of two."""
    most = work.local.batch_size
    widths = [min(most or len(work.clients[client]), len(work.clients[client])) for client in clients]
    groups: list[list[int]] = []
    for at in sorted(range(len(clients)), key=lambda at: (-widths[at], clients[at])):
        if not groups or 2 * widths[at] <= widths[groups[-1][0]]:
            groups.append([])
        groups[-1].append(at)
    return groups


def _write(
    plan: Plan, stack: Sequence[StackedDense], received: Tensor, total: Tensor, slots: Slots, rows: Tensor
) -> None:
    """Write the stack's results into `rows` of the slots; total: the summed losses [c]."""
    rows = rows[torch.from_numpy(plan.positions).to(rows.device)]
    for layer in stack:
        layer.write_deltas(received, slots.deltas, rows)
    slots.losses[rows.cpu()] = (total.cpu() / torch.from_numpy(plan.counts.sum(axis=1))).float()


class Block:
    """A few steps of all clients that take part in the first of them.

    inputs [c, n, inputs]; targets [c, n, ...]; active: clients that take each step;
    real [c, n]: whether an example counts, or fills up a short batch;
    weights [c, n, 1]: what its error counts in the gradient; aims [c, n, K]: so weighted.
    """

    def __init__(self, work: LocalWork, criterion: Criterion, plan: Plan, steps: range) -> None:
        self.criterion, self.width = criterion, plan.examples.shape[2]
        self.active = plan.active[steps.start : steps.stop]
        clients, device = self.active[0], work.inputs.device
        at = torch.from_numpy(plan.examples[:clients, steps.start : steps.stop]).to(device).flatten(1)
        self.inputs = model_inputs(gathered(work.inputs, at)).flatten(2)
        self.targets = gathered(work.targets, at)
        counts = torch.from_numpy(plan.counts[:clients, steps.start : steps.stop]).to(device)[..., None]
        real = torch.arange(self.width, device=device) < counts
        self.real = real.view(clients, -1)
        weights = real / counts.clamp(min=1).to(self.inputs.dtype)
        self.weights = weights.view(clients, -1, 1)

    def weigh(self, num_outputs: int) -> None:
        self.weights *= self.criterion.scale(num_outputs)
        self.aims = self.criterion.aims(self.targets, num_outputs) * self.weights

    def rows(self, step: int) -> slice:
        """The examples of a step."""
        return slice(step * self.width, (step + 1) * self.width)


def _train_block(stack: Sequence[StackedDense], block: Block) -> Tensor:
    """Train through a block; the summed losses of its examples [c]."""
    num_outputs = stack[-1].dense.outputs
    block.weigh(num_outputs)
    _keep(stack, block.active[0])
    first = _first_layer(stack[0], block)
    outputs = block.inputs.new_zeros(*block.inputs.shape[:2], num_outputs)
    clients = block.active[0]
    for step, now in enumerate(block.active):
        if now < clients:
            _keep(stack, clients := now)
        rows = block.rows(step)
        hidden = _forward(stack, first, rows, now)
        outputs[:now, rows] = hidden[-1]
        errors = (
            block.criterion.predict(hidden[-1]).mul_(block.weights[:now, rows]).sub_(block.aims[:now, rows])
        )
        _backward(stack, first, rows, hidden, errors)
    first.finish()
    return (block.criterion.losses(outputs, block.targets) * block.real).sum(dim=1)


def _first_layer(layer: StackedDense, block: Block) -> FirstLayer:
    pays = layer.rule.is_plain and len(block.active) > 1 and layer.dense.outputs >= _DUAL_OUTPUTS
    return Dual(layer, block.inputs) if pays else Direct(layer, block.inputs)


def _keep(stack: Sequence[StackedDense], num_clients: int) -> None:
    for layer in stack:
        layer.keep(num_clients)


def _forward(stack: Sequence[StackedDense], first: FirstLayer, rows: slice, num_clients: int) -> list[Tensor]:
    """What every layer makes of the rows, [c, B, outputs] each."""
    hidden = [_activate(first.outputs(rows, num_clients), stack[0].dense.activation)]
    for layer in stack[1:]:
        hidden.append(_activate(layer.outputs(hidden[-1]), layer.dense.activation))
    return hidden


def _backward(
    stack: Sequence[StackedDense], first: FirstLayer, rows: slice, hidden: Sequence[Tensor], errors: Tensor
) -> None:
    """Step every layer, from the gradient [c, B, K] of the loss with respect to the outputs."""
    for depth in range(len(stack) - 1, 0, -1):
        layer = stack[depth]
        errors = _through(errors, hidden[depth], layer.dense.activation)
        below = layer.backward(errors)
        layer.learn(hidden[depth - 1], errors)
        errors = below
    first.learn(rows, _through(errors, hidden[0], stack[0].dense.activation))


def _activate(outputs: Tensor, activation: Activation | None) -> Tensor:
    """In place."""
    if activation is None:
        return outputs
    return outputs.relu_() if activation == "relu" else outputs.tanh_()


def _through(errors: Tensor, activated: Tensor, activation: Activation | None) -> Tensor:
    """The gradient before an activation, from the one after it; in place."""
    if activation == "relu":
        torch.ops.aten.threshold_backward.grad_input(errors, activated, 0, grad_input=errors)
    if activation == "tanh":
        torch.ops.aten.tanh_backward.grad_input(errors, activated, grad_input=errors)
    return errors
