"""The batches of a client: the examples of each local step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from federated.foundation.randomness import Purpose, generator, key_of

if TYPE_CHECKING:
    from federated.config.run import LocalTraining
    from federated.local_training.steps.work import LocalWork


class Length(NamedTuple):
    """The length of a client's training in a round: epochs, or steps where these are not None."""

    epochs: int
    steps: int | None

    def num_steps(self, num_examples: int, batch_size: int | None) -> int:
        """Local steps of a client in a round, as `epoch_orders` cuts them."""
        if self.steps is not None:
            return self.steps
        return self.epochs * -(-num_examples // (batch_size or num_examples))


def length_of(local: LocalTraining, seed: int, done: int, client: int, steps: int | None) -> Length:
    """The length of this client's training: the given steps, else the config's, drawn anew from a range."""
    if steps is not None:
        return Length(1, int(steps))
    amount = amount_of(local)
    if not isinstance(amount, int):
        low, high = amount
        amount = int(generator(seed, Purpose.LOCAL_WORK, done, client).integers(low, high, endpoint=True))
    return Length(amount, None) if local.steps is None else Length(1, amount)


def amount_of(local: LocalTraining) -> int | tuple[int, int]:
    """The epochs of a client in a round, or its steps where these are stated; both ends of a range."""
    return local.passes if local.steps is None else local.steps


def longest(local: LocalTraining) -> Length:
    """The most that any client trains by the config."""
    epochs, steps = local.passes, local.steps
    return Length(
        epochs if isinstance(epochs, int) else epochs[1],
        steps if steps is None or isinstance(steps, int) else steps[1],
    )


def epoch_orders(
    generator: np.random.Generator, held: np.ndarray, batch_size: int | None, epochs: int, steps: int | None
) -> Iterator[np.ndarray]:
    """A client's examples in the order of each local epoch, int64 [n] each; batches are cut from it in turn.

    Every epoch is a new shuffle. With `steps`, epochs go on until that many batches are reached, and the
    last order is cut short; without, there are `epochs` of them. batch_size None: one batch of everything.
    Raises ValueError where the client holds no examples.
    """
    if not len(held):
        raise ValueError("a client without training examples has no batches")
    size = batch_size or len(held)
    per_epoch = -(-len(held) // size)
    left = epochs * per_epoch if steps is None else steps
    while left > 0:
        order = generator.permutation(held)
        yield order[: left * size] if left < per_epoch else order
        left -= per_epoch


class Batch(NamedTuple):
    """Some examples: inputs [B, ...] as they come, targets [B] or [B, outputs], weights [B] or None."""

    inputs: Tensor
    targets: Tensor
    weights: Tensor | None

    def split(self, size: int) -> Iterator[Batch]:
        """The examples cut into batches of this size; the last may be smaller."""
        for start in range(0, len(self.inputs), size):
            part = slice(start, start + size)
            weights = None if self.weights is None else self.weights[part]
            yield Batch(self.inputs[part], self.targets[part], weights)


def epochs(work: LocalWork, done: int, client: int, length: Length, stream: int = 0) -> Iterator[Batch]:
    """The examples of each of the client's epochs in a round, in order, gathered in one call each; stream: `key_of`."""
    held = work.clients[client]
    seed, number = work.origin(client)
    numbers = generator(seed, Purpose.BATCHES, *key_of(done, stream), number)
    for order in epoch_orders(numbers, held, work.local.batch_size, *length):
        yield batch_of(work, order)


def placed(array: np.ndarray, device: torch.device) -> Tensor:
    """An array on a device; on the CPU the tensor shares its memory.

    For a GPU by way of page-locked memory: to copy from anywhere else would wait for all work that the GPU still has.
    """
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def batch_of(work: LocalWork, examples: np.ndarray) -> Batch:
    """These examples [B], gathered."""
    at = placed(examples, work.inputs.device)
    weights = None if work.weights is None else work.weights.index_select(0, at)
    return Batch(work.inputs.index_select(0, at), work.targets.index_select(0, at), weights)
