"""The number of clients that fit in memory at a time."""

from __future__ import annotations

import os

import numpy as np
import torch

from data_partitioners.partition import sizes_of
from federated.config.run import Engine
from federated.local_training.activations import activations
from federated.local_training.dense.trainer import BLOCK_EXAMPLES
from federated.local_training.steps.batches import longest
from federated.local_training.steps.work import LocalWork

_MB = 2**20
_DEFAULT_MB = 256
_NEARBY_BYTES, _ENOUGH_CLIENTS = 64 * _MB, 16
_STACK_BYTES = 16 * _MB
_STACK_EXAMPLES = 40


def shard_size(work: LocalWork, engine: Engine, cohort: int | None = None) -> int:
    """Clients of a cohort that are trained, encoded and added up before the next ones, at least one.

    Two thousand clients a round so need no more memory than the clients of one shard. Counted for the largest
    client: the rows that a round holds of each client (update, payload, decoded update), what an engine holds
    beside them (weights, the optimiser's memory, gradient), the examples of a block of steps, and the plan of batches.
    On a CPU no more than 64 MB, or 16 clients, whatever the budget: to encode and add up the updates of a thousand
    small models took 1.4 times as long where they were passed through memory all at once. Workers of Ray
    share a `cohort` of so many evenly.
    """
    each, most = _bytes_per_client(work), _budget_bytes(engine, work.inputs.device)
    if work.inputs.device.type == "cpu":
        most = min(most, max(_NEARBY_BYTES, _ENOUGH_CLIENTS * each))
    share = most // each if cohort is None else -(-cohort // (engine.workers or 1))
    return max(1, min(most // each, share))


def stack_size(work: LocalWork) -> int:
    """Clients that are trained as one stack, at least one: on a CPU as many as a core's cache has room for.

    16 MB of weights and of 40 examples of each client: a hundred logistic regressions, ten 2NN. Smaller stacks spend
    their time in Python, and threads inside of their products have less to share. A GPU takes whatever it gets.
    """
    if work.inputs.device.type != "cpu":
        return int(np.count_nonzero(sizes_of(work.clients)))
    number, examples = (
        work.model.vector.element_size(),
        _STACK_EXAMPLES if work.origins is None else BLOCK_EXAMPLES,
    )
    return max(1, _STACK_BYTES // (number * (work.model.vector.numel() + _block_numbers(work, examples))))


def _budget_bytes(engine: Engine, device: torch.device) -> int:
    """On a GPU an eighth of its memory: a cohort in one piece has it wait least."""
    if engine.memory_mb is not None:
        return engine.memory_mb * _MB
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory) // 8
    return min(_DEFAULT_MB * _MB, machine_bytes() // 8)


def machine_bytes() -> int:
    """The memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _bytes_per_client(work: LocalWork) -> int:
    local, number = work.local, work.model.vector.element_size()
    largest = int(sizes_of(work.clients).max(initial=1))
    batch = min(local.batch_size or largest, largest)
    steps = longest(local).num_steps(largest, local.batch_size)
    # On a GPU all clients of a shard go through the model together.
    kept = 0 if work.inputs.is_cpu else activations(work).of(batch)
    rows = 3 + 2 + len(local.optimiser.build().remembers) + bool(local.momentum)
    return (
        number * (rows * work.model.vector.numel() + 2 * _block_numbers(work, BLOCK_EXAMPLES))
        + 8 * steps * batch
        + kept
    )


def _block_numbers(work: LocalWork, most: int) -> int:
    """The size, in numbers, of the inputs of a block of this many examples, for the largest client."""
    local = work.local
    largest = int(sizes_of(work.clients).max(initial=1))
    batch = min(local.batch_size or largest, largest)
    steps = longest(local).num_steps(largest, local.batch_size)
    examples = max(batch, min(most, steps * batch))
    return examples * work.inputs[:1].numel()
