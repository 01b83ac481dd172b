"""The interface of a loss: what local training minimises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from torch import Tensor

from federated.losses.criterion import Criterion
from federated.metrics.tasks import Targets

Link = Literal["identity", "exp"]
"""From a model's outputs to predictions of the target: as they are, or their exponential."""
Weigh = Callable[[np.ndarray, Sequence[np.ndarray], tuple[str, ...] | None], np.ndarray]
"""(targets [N], the training examples of each holder, names of the classes or None) -> float64 [N], the factors."""
Learn = Callable[[np.ndarray], "Loss"]
"""From the targets of all training examples, [n, outputs], to the loss that they determine."""


def _anything(targets: np.ndarray) -> None:
    """Accept all targets."""


class Loss(NamedTuple):
    """A loss of outputs [B, outputs] against targets [B] or [B, outputs].

    targets: the forms of targets that it is for.
    of_each: (outputs, targets) -> the loss of each example [B].
    of_all: the mean over a batch where torch has it in one call; None: the mean of `of_each`.
    kernel: its gradient, for the engines that are written by hand; None: they leave the loss to others.
    weigh: what it multiplies the loss of each example by, such as by the weight of its class; None: nothing.
    learn: what it still has to learn from the targets; None: nothing.
    check: raises ValueError where these targets are none for it.
    link: what turns outputs into predictions, in whose unit measures are.
    num_outputs: the number of outputs that it is for; None: any.
    negative: it can be below zero.
    mean_over: targets -> how many numbers the mean of them is over, where that is not one for each example.
    smooths: every target has a share of every class, also of one that a client does not hold.
    """

    targets: tuple[Targets, ...]
    of_each: Callable[[Tensor, Tensor], Tensor]
    of_all: Callable[[Tensor, Tensor], Tensor] | None = None
    kernel: Criterion | None = None
    weigh: Weigh | None = None
    learn: Learn | None = None
    check: Callable[[np.ndarray], None] = _anything
    link: Link = "identity"
    num_outputs: int | None = None
    smooths: bool = False
    negative: bool = False
    mean_over: Callable[[Tensor], int] | None = None

    def __call__(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """The mean loss over a batch, a scalar. weights: a factor for each example [B].

        The sum is divided by the number of examples, not by that of their weights: so a mean of clients' updates by
        their examples has the objective of all examples in one place.
        """
        if weights is not None:
            return (self.of_each(outputs, targets) * weights).mean()
        return self.of_each(outputs, targets).mean() if self.of_all is None else self.of_all(outputs, targets)

    def counted(self, targets: Tensor) -> int:
        """How many numbers the mean over examples with these targets is over: by this a mean of means is weighted."""
        return len(targets) if self.mean_over is None else self.mean_over(targets)
