"""A whole cohort at once, for stacks of dense layers: one batched product where the loop has one a client."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from federated.algorithms.local_terms import LocalTerms
from federated.local_training.dense.block import Block
from federated.local_training.dense.first_layer import Direct, Dual, FirstLayer
from federated.local_training.dense.layers import Stack
from federated.local_training.dense.masks import StackedMasks
from federated.local_training.dense.recognise import Dense
from federated.local_training.steps.dropout import dropout_key
from federated.local_training.steps.plan import Extent, Plan, lengths_of, planned
from federated.local_training.steps.scratch import Scratch
from federated.local_training.steps.sgd import rule_of
from federated.local_training.steps.updates import PartTrainer, Slots, received_by
from federated.local_training.steps.work import LocalWork
from federated.models.objective import input_scale

# Examples of each client that are gathered at a time. In the dual form a block passes the weights three times, and
# its inner products grow with its length.
BLOCK_EXAMPLES = 150
# The dual form needs block / (4 outputs) more arithmetic for products that run about twice as fast.
_DUAL_OUTPUTS = 64
_NO_TURNS = nullcontext()


def stacked_trainer(
    work: LocalWork,
    layers: Sequence[Dense],
    block_examples: int = BLOCK_EXAMPLES,
    turn: AbstractContextManager[object] = _NO_TURNS,
    threads: int = 1,
) -> PartTrainer:
    """Trains as the loop does, in another order of sums. `layers` as `linear_stack` found them.

    turn: held during a block's many small kernels, see `turns`. threads: of torch, in a stack's products.
    """
    schedule, local = work.local.schedule.build(), work.local
    criterion, scratch, scale = work.loss.kernel, Scratch(), input_scale(work.inputs)
    assert criterion is not None

    def train(received: Tensor, clients: Sequence[int], done: int, terms: LocalTerms, slots: Slots) -> None:
        factor = schedule(done, work.rounds)
        for alike, extent in stacks_of(work, clients, done, terms, layers):
            members, own = [clients[at] for at in alike], terms.of(alike)
            plan = planned(work, members, done, own, extent)
            there = plan.on(received.device)
            start = received_by(received_by(received, alike), plan.positions)
            rule = rule_of(local, factor, own.of(plan.positions), start)
            offsets = own.of(plan.positions).offsets
            stack = Stack(layers, start, len(alike), plan.examples.shape[2], rule, scratch, threads, scale)
            masks = StackedMasks(
                layers, [dropout_key(work, members[at], done, terms.stream) for at in plan.positions]
            )
            total = torch.zeros(len(alike), dtype=received.dtype, device=received.device)
            for steps in plan.blocks(max(1, block_examples // plan.examples.shape[2])):
                if not plan.active[steps.start]:
                    break
                block = Block(work, criterion, layers, plan, there, steps, masks, scratch, threads, offsets)
                total[: block.active[0]] += _train_block(stack, block, scratch, turn)
            _write(plan, stack, total, slots, slots.rows[alike])

    return train


def of_like_width(work: LocalWork, clients: Sequence[int]) -> list[list[int]]:
    """Positions of the clients, those together whose batches differ in width by less than a factor of two."""
    most = work.local.batch_size
    widths = [min(most or len(work.clients[client]), len(work.clients[client])) for client in clients]
    groups: list[list[int]] = []
    for at in sorted(range(len(clients)), key=lambda at: (-widths[at], clients[at])):
        if not groups or 2 * widths[at] <= widths[groups[-1][0]]:
            groups.append([])
        groups[-1].append(at)
    return groups


def stacks_of(
    work: LocalWork, clients: Sequence[int], done: int, terms: LocalTerms, layers: Sequence[Dense]
) -> list[tuple[list[int], Extent]]:
    """Positions of the clients of each stack, and the least size of its plan.

    With clients of several runs the size does not depend on who they are, so that each has the same bits whoever trains
    beside it: when a study goes on, the runs that had finished do not. In blocks, the dual form, rounding depends on
    the number of steps as well. One client is in each stack twice, as a product of one matrix is another kernel's.
    """
    if work.origins is None:
        return [(alike, Extent(0, 0)) for alike in of_like_width(work, clients)]
    in_blocks, batch = layers[0].outputs >= _DUAL_OUTPUTS, work.local.batch_size
    lengths = lengths_of(work, clients, done, terms)
    sizes = [len(work.clients[client]) for client in clients]
    steps = [length.num_steps(size, batch) for length, size in zip(lengths, sizes, strict=True)]
    stacks: dict[Extent, list[int]] = {}
    for at, size in enumerate(sizes):
        width = _power_of_two(size) if batch is None else _halved(batch, min(batch, size))
        extent = Extent(_power_of_two(steps[at]) if in_blocks else 0, width)
        stacks.setdefault(extent, []).append(at)
    return [
        ([*alike, max(alike, key=lambda at: (steps[at], sizes[at]))], extent)
        for extent, alike in stacks.items()
    ]


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()


def _halved(number: int, least: int) -> int:
    """The number halved as often as it stays as large as this."""
    while number > 1 and (half := -(-number // 2)) >= least:
        number = half
    return number


def _write(plan: Plan, stack: Stack, total: Tensor, slots: Slots, rows: Tensor) -> None:
    """Write the stack's results into `rows` of the slots; total: the summed losses [c]."""
    rows = rows[plan.positions]
    together = _as_slice(rows.tolist())
    place = rows.to(slots.deltas.device) if together is None else together
    for layer in stack.layers:
        layer.write_deltas(slots.deltas, place)
    slots.losses[rows] = (total.cpu() / torch.from_numpy(plan.counts.sum(axis=1))).float()


def _as_slice(rows: Sequence[int]) -> slice | None:
    """Rows that follow each other, as a slice, which is quicker to write to."""
    first, last = rows[0], rows[-1] + 1
    return slice(first, last) if list(rows) == list(range(first, last)) else None


def turns(threads: int) -> AbstractContextManager[object]:
    """A semaphore by which half of the threads take the steps of a block, while the others gather and multiply.

    Every small kernel of a step hands Python's lock over; two threads that both take steps wait for each other
    longer than the kernels are. The wide products of the dual form hold no lock and are half of the work.
    """
    return threading.Semaphore(max(1, threads // 2))


def _train_block(
    stack: Stack, block: Block, scratch: Scratch, turn: AbstractContextManager[object]
) -> Tensor:
    """Train through a block; the summed losses of its examples [c]."""
    stack.keep(block.active[0])
    first = _first_layer(stack, block, scratch)
    with turn if isinstance(first, Dual) else _NO_TURNS:
        for step, now in enumerate(filter(None, block.active)):
            _step(stack, block, first, step, now)
        losses = block.losses()
    first.finish()
    return losses


def _step(stack: Stack, block: Block, first: FirstLayer, step: int, num_clients: int) -> None:
    """One step of the first clients."""
    stack.keep(num_clients)
    masks = [None if mask is None else mask[step][:num_clients] for mask in block.masks]
    outputs = stack.forward(first.outputs(step, num_clients), masks)
    first.learn(step, stack.backward(block.errors(step, outputs), masks))
    if not stack.rule.is_fused:
        stack.descend()


def _first_layer(stack: Stack, block: Block, scratch: Scratch) -> FirstLayer:
    layer = stack.layers[0]
    if stack.rule.is_sum and len(block.active) > 1 and layer.dense.outputs >= _DUAL_OUTPUTS:
        return Dual(layer, block.inputs, block.batch, block.active, scratch)
    return Direct(layer, block.inputs, block.batch)
