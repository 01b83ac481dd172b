"""Which of a client's examples make up each local step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def epoch_orders(
    generator: np.random.Generator, num_examples: int, batch_size: int | None, epochs: int, steps: int | None
) -> Iterator[np.ndarray]:
    """The order of a client's examples in each local epoch, int64 [n] each; batches are cut from it in turn.

    Every epoch is a new shuffle. With `steps`, epochs go on until that many batches are reached, and the
    last order is cut short; without, there are `epochs` of them. batch_size None: one batch of everything.
    """
    size = batch_size or num_examples
    per_epoch = -(-num_examples // size)
    left = epochs * per_epoch if steps is None else steps
    while left > 0:
        order = generator.permutation(num_examples)
        yield order[: left * size] if left < per_epoch else order
        left -= per_epoch
