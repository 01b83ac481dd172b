"""The step of SGD, for one client or a stack of them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Rule(NamedTuple):
    """The step of torch.optim.SGD: momentum without dampening, weight decay in the gradient."""

    rate: float
    momentum: float
    decay: float

    @property
    def is_plain(self) -> bool:
        """Whether a step is the gradient times the rate, and nothing else."""
        return not self.momentum and not self.decay

    def step(self, weights: Tensor, buffer: Tensor | None, left: Tensor, right: Tensor) -> None:
        """Step weights [c, m, n] in place along the gradient left [c, m, k] @ right [c, k, n]."""
        if buffer is None:
            weights.baddbmm_(left, right, beta=1 - self.rate * self.decay, alpha=-self.rate)
            return
        buffer.baddbmm_(left, right, beta=self.momentum)
        if self.decay:
            buffer.add_(weights, alpha=self.decay)
        weights.sub_(buffer, alpha=self.rate)

    def descend(self, weights: Tensor, buffer: Tensor | None, gradient: Tensor) -> None:
        """The same along a gradient that is there already; it is used up."""
        if self.decay:
            gradient.add_(weights, alpha=self.decay)
        if buffer is not None:
            gradient = buffer.mul_(self.momentum).add_(gradient)
        weights.sub_(gradient, alpha=self.rate)
