"""A whole cohort at once, for stacks of dense layers: one batched product where the loop has one a client."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from federated.local_training.criterion import criterion_of
from federated.local_training.first_layer import Direct, Dual, FirstLayer
from federated.local_training.linear_stack import Dense
from federated.local_training.plan import Plan, planned
from federated.local_training.rule import rule_of
from federated.local_training.scratch import Scratch
from federated.local_training.stacked_block import Block
from federated.local_training.stacked_layers import Stack
from federated.local_training.stacked_masks import StackedMasks
from federated.local_training.terms import LocalTerms
from federated.local_training.updates import PartTrainer, Slots, received_by
from federated.local_training.work import LocalWork

# Examples of each client that are gathered at a time; 40 was as good as 20 to 100 for layers of 200 outputs.
BLOCK_EXAMPLES = 40
# The dual form needs block / (2 outputs) more arithmetic for products that run about twice as fast.
_DUAL_OUTPUTS = 64


def stacked_trainer(
    work: LocalWork, layers: Sequence[Dense], block_examples: int = BLOCK_EXAMPLES
) -> PartTrainer:
    """Trains as the loop does, in another order of sums. `layers` as `linear_stack` found them."""
    schedule, local = work.local.schedule.build(), work.local
    criterion, scratch = criterion_of(work.loss), Scratch()

    def train(received: Tensor, clients: Sequence[int], done: int, terms: LocalTerms, slots: Slots) -> None:
        factor = schedule(done, work.rounds)
        for alike in _alike(work, clients):
            members, own = [clients[at] for at in alike], terms.of(alike)
            plan = planned(work, members, done, own)
            start = received_by(received_by(received, alike), plan.positions)
            rule = rule_of(local, factor, own.of(plan.positions), start)
            stack = Stack(layers, start, len(alike), plan.examples.shape[2], rule, scratch)
            masks = StackedMasks(layers, [(work.seed, done, members[at]) for at in plan.positions])
            total = torch.zeros(len(alike), dtype=received.dtype, device=received.device)
            for steps in plan.blocks(max(1, block_examples // plan.examples.shape[2])):
                block = Block(work, criterion, layers, plan, steps, masks, scratch)
                total[: block.active[0]] += _train_block(stack, block, scratch)
            _write(plan, stack, total, slots, slots.rows[alike])

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


def _write(plan: Plan, stack: Stack, total: Tensor, slots: Slots, rows: Tensor) -> None:
    """Write the stack's results into `rows` of the slots; total: the summed losses [c]."""
    rows = rows[plan.positions]
    for layer in stack.layers:
        layer.write_deltas(slots.deltas, rows)
    slots.losses[rows.cpu()] = (total.cpu() / torch.from_numpy(plan.counts.sum(axis=1))).float()


def _train_block(stack: Stack, block: Block, scratch: Scratch) -> Tensor:
    """Train through a block; the summed losses of its examples [c]."""
    stack.keep(block.active[0])
    first = _first_layer(stack, block, scratch)
    for step, now in enumerate(block.active):
        stack.keep(now)
        masks = [None if mask is None else mask[step][:now] for mask in block.masks]
        outputs = stack.forward(first.outputs(step, now), masks)
        first.learn(step, stack.backward(block.errors(step, outputs), masks))
        if not stack.rule.is_fused:
            stack.descend()
    first.finish()
    return block.losses()


def _first_layer(stack: Stack, block: Block, scratch: Scratch) -> FirstLayer:
    layer = stack.layers[0]
    if stack.rule.is_plain and len(block.active) > 1 and layer.dense.outputs >= _DUAL_OUTPUTS:
        return Dual(layer, block.inputs, block.batch, scratch)
    return Direct(layer, block.inputs, block.batch)
