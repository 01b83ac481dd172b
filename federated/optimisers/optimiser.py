"""The interface of an optimiser: the direction of a local step, given the gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor

Direction = Callable[[Mapping[str, Tensor], Tensor, int], Tensor]


class Optimiser(NamedTuple):
    """An optimiser of local training. A client begins each round with a memory of zeros, as nothing of it is sent.

    remembers: names of what a client remembers within a round, each of the shape of its parameters.
    direction: (memory, gradient, steps with this one) -> what the parameters are moved against, times the learning
        rate. It may change both tensors in place. None: the gradient itself, or what momentum makes of it.
    decoupled: weight decay shrinks the parameters by learning rate x decay in each step, apart from the gradient.
    elementwise: each number of the direction depends on the same place of its arguments alone, so that clients and
        layers may be stacked; the loop takes what is not.
    """

    remembers: tuple[str, ...] = ()
    direction: Direction | None = None
    decoupled: bool = False
    elementwise: bool = False
