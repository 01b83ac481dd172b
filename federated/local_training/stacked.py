"""A whole cohort at once, for stacks of dense layers: one batched product where the loop has one a client."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from federated.local_training.activations import activate, through
from federated.local_training.criterion import Criterion, criterion_of
from federated.local_training.first_layer import Direct, Dual, FirstLayer
from federated.local_training.linear_stack import Dense
from federated.local_training.plan import Plan, gathered, planned
from federated.local_training.rule import clip_norms, rule_of
from federated.local_training.stacked_dense import StackedDense
from federated.local_training.stacked_masks import StackedMasks
from federated.local_training.terms import LocalTerms
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

    def train(received: Tensor, clients: Sequence[int], done: int, terms: LocalTerms, slots: Slots) -> None:
        factor = schedule(done, work.rounds)
        for alike in _alike(work, clients):
            members, own = [clients[at] for at in alike], terms.of(alike)
            plan = planned(work, members, done, own)
            rule = rule_of(local, factor, own.of(plan.positions), received)
            stack = [StackedDense(dense, received, len(alike), rule) for dense in layers]
            masks = StackedMasks(layers, [(work.seed, done, members[at]) for at in plan.positions])
            total = torch.zeros(len(alike), dtype=received.dtype, device=received.device)
            for steps in plan.blocks(max(1, block_examples // plan.examples.shape[2])):
                # No name for the block: it must be gone before the next one takes its memory.
                total[: plan.active[steps.start]] += _train_block(
                    stack, Block(work, criterion, plan, steps, masks)
                )
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
    weights [c, n, 1]: what its error counts in the gradient; aims [c, n, K]: so weighted;
    masks: of each layer's inputs [c, n, inputs], None where nothing is dropped. The first is in the inputs.
    """

    def __init__(
        self, work: LocalWork, criterion: Criterion, plan: Plan, steps: range, masks: StackedMasks
    ) -> None:
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
        self.masks = masks.draw(plan.counts[:clients, steps.start : steps.stop], self.width, self.inputs)
        if (mask := self.masks[0]) is not None:
            self.inputs = self.inputs * mask

    def weigh(self, num_outputs: int) -> None:
        self.weights *= self.criterion.scale(num_outputs)
        self.aims = self.criterion.aims(self.targets, num_outputs) * self.weights

    def rows(self, step: int) -> slice:
        """The examples of a step."""
        return slice(step * self.width, (step + 1) * self.width)


def _train_block(stack: Sequence[StackedDense], block: Block) -> Tensor:
    """Train through a block; the summed losses of its examples [c]."""
    num_outputs, rule = stack[-1].dense.outputs, stack[0].rule
    block.weigh(num_outputs)
    _keep(stack, block.active[0])
    first = _first_layer(stack[0], block)
    outputs = block.inputs.new_zeros(*block.inputs.shape[:2], num_outputs)
    clients = block.active[0]
    for step, now in enumerate(block.active):
        if now < clients:
            _keep(stack, clients := now)
        rows = block.rows(step)
        masks = [None if mask is None else mask[:now, rows] for mask in block.masks]
        hidden = _forward(stack, first, rows, now, masks)
        outputs[:now, rows] = hidden[-1]
        errors = (
            block.criterion.predict(hidden[-1]).mul_(block.weights[:now, rows]).sub_(block.aims[:now, rows])
        )
        _backward(stack, first, rows, hidden, errors, masks)
        if not rule.is_fused:
            _descend(stack, rule.max_norm)
    first.finish()
    return (block.criterion.losses(outputs, block.targets) * block.real).sum(dim=1)


def _first_layer(layer: StackedDense, block: Block) -> FirstLayer:
    pays = layer.rule.is_plain and len(block.active) > 1 and layer.dense.outputs >= _DUAL_OUTPUTS
    return Dual(layer, block.inputs) if pays else Direct(layer, block.inputs)


def _keep(stack: Sequence[StackedDense], num_clients: int) -> None:
    for layer in stack:
        layer.keep(num_clients)


def _descend(stack: Sequence[StackedDense], max_norm: float | None) -> None:
    """Step every layer along the gradients that `_backward` left."""
    parameters = [parameter for layer in stack for parameter in layer.parameters]
    if max_norm is not None:
        clip_norms([p.gradient for p in parameters if p.gradient is not None], max_norm)
    for parameter in parameters:
        parameter.descend()


Masks = Sequence[Tensor | None]


def _forward(
    stack: Sequence[StackedDense], first: FirstLayer, rows: slice, num_clients: int, masks: Masks
) -> list[Tensor]:
    """What every layer makes of the rows, [c, B, outputs] each."""
    hidden = [activate(first.outputs(rows, num_clients), stack[0].dense.activation)]
    for layer, mask in zip(stack[1:], masks[1:], strict=True):
        hidden.append(activate(layer.outputs(_masked(hidden[-1], mask)), layer.dense.activation))
    return hidden


def _masked(values: Tensor, mask: Tensor | None) -> Tensor:
    return values if mask is None else values * mask


def _backward(
    stack: Sequence[StackedDense],
    first: FirstLayer,
    rows: slice,
    hidden: Sequence[Tensor],
    errors: Tensor,
    masks: Masks,
) -> None:
    """Step every layer, or leave its gradient, from the gradient [c, B, K] of the loss with respect to the outputs."""
    for depth in range(len(stack) - 1, 0, -1):
        layer = stack[depth]
        errors = through(errors, hidden[depth], layer.dense.activation)
        below = layer.backward(errors)
        layer.learn(_masked(hidden[depth - 1], masks[depth]), errors)
        errors = _masked(below, masks[depth])
    first.learn(rows, through(errors, hidden[0], stack[0].dense.activation))
