"""The step of an optimiser for the clients of a stack; the loop's is a stack of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from federated.algorithms.local_terms import LocalTerms
from federated.optimisers import Optimiser

if TYPE_CHECKING:
    from federated.config.run import LocalTraining


MOMENTUM = "momentum"
_LEAST_KEPT = 0.5  # below it, powers of it over some steps leave the range that 32 bits add up well

Memory = Mapping[str, Tensor]
"""What clients remember from step to step, by name, [c, ...] each."""


class Rule(NamedTuple):
    """The step of torch.optim.SGD: momentum without dampening, weight decay in the gradient; or of another optimiser.

    rate: one for all, or [c, 1] of each client; decay: weight decay and proximal term together;
    shift: a constant part of the gradient, [1, T] or [c, T]; max_norm: the bound of the gradient's norm.
    optimiser: what makes a direction of the gradient; None: SGD. shrinkage: weight decay apart from the gradient.
    moves: 1 for a parameter that moves and 0 for one that is frozen, [1, T]; None: all move.
    The gradient of the loss is clipped as by torch.nn.utils.clip_grad_norm_, before decay and shift join it.
    """

    rate: float | Tensor
    momentum: float
    decay: float
    shift: Tensor | None = None
    max_norm: float | None = None
    optimiser: Optimiser | None = None
    shrinkage: float = 0.0
    moves: Tensor | None = None

    @property
    def remembers(self) -> tuple[str, ...]:
        """Names of what each client remembers from step to step, zeros at first, of its parameters' shape."""
        if self.optimiser is not None:
            return self.optimiser.remembers
        return (MOMENTUM,) if self.momentum else ()

    @property
    def is_fused(self) -> bool:
        """Whether `step` can take the step, layer by layer and without the gradient."""
        plain_rate = not isinstance(self.rate, Tensor) and not self.shrinkage
        return plain_rate and self.max_norm is None and self.optimiser is None and self.moves is None

    @property
    def is_plain(self) -> bool:
        """Whether a step is the gradient times one rate, and nothing else."""
        return self.is_fused and not self.momentum and not self.decay and self.shift is None

    @property
    def kept(self) -> float:
        """The share of the weights that a step leaves, apart from what it adds; `is_fused`."""
        assert isinstance(self.rate, float)
        return 1 - self.rate * self.decay

    @property
    def is_sum(self) -> bool:
        """Whether weights are what is kept of the first ones and a sum of what the steps added, without a memory."""
        return self.is_fused and not self.momentum and self.kept >= _LEAST_KEPT

    def shaped(self, shape: Callable[[Tensor], Tensor]) -> Rule:
        """The rule for a layer. shape: of flat vectors [c, T], the layer's part, as [c, m, n]."""
        return self._replace(
            rate=self.rate[..., None] if isinstance(self.rate, Tensor) else self.rate,
            shift=None if self.shift is None else shape(self.shift),
            moves=None if self.moves is None else shape(self.moves),
        )

    def first(self, num_clients: int) -> Rule:
        """The rule of the first clients only."""
        shift, rate = self.shift, self.rate
        if shift is not None and len(shift) > 1:
            shift = shift[:num_clients]
        return self._replace(rate=rate[:num_clients] if isinstance(rate, Tensor) else rate, shift=shift)

    def step(self, weights: Tensor, memory: Memory, left: Tensor, right: Tensor, scale: float = 1.0) -> None:
        """Step weights [c, m, n] in place along the gradient scale * left [c, m, k] @ right [c, k, n]; `is_fused`."""
        assert isinstance(self.rate, float)
        if (buffer := memory.get(MOMENTUM)) is None:
            weights.baddbmm_(left, right, beta=1 - self.rate * self.decay, alpha=-self.rate * scale)
            if self.shift is not None:
                weights.sub_(self.shift, alpha=self.rate)
            return
        buffer.baddbmm_(left, right, beta=self.momentum, alpha=scale)
        if self.decay:
            buffer.add_(weights, alpha=self.decay)
        if self.shift is not None:
            buffer.add_(self.shift)
        weights.sub_(buffer, alpha=self.rate)

    def clip(self, gradients: Sequence[Tensor]) -> None:
        """Bound the gradient of each client in place, the part of it that moves, where a bound is stated."""
        if self.max_norm is None:
            return
        if self.moves is not None:
            for part in gradients:
                part.mul_(self.moves)
        clip_norms(gradients, self.max_norm)

    def descend(self, weights: Tensor, memory: Memory, gradient: Tensor, step: int) -> None:
        """The same, for weights [c, ...], along a gradient that is there and clipped already; it is used up.

        step: the number of this step in the round, from 1.
        """
        if self.decay:
            gradient.add_(weights, alpha=self.decay)
        if self.shift is not None:
            gradient.add_(self.shift)
        if self.moves is not None:
            gradient.mul_(self.moves)  # so that the memory of what is frozen stays zero
        if self.momentum:
            gradient = memory[MOMENTUM].mul_(self.momentum).add_(gradient)
        if self.optimiser is not None and self.optimiser.direction is not None:
            gradient = self.optimiser.direction(memory, gradient, step)
            gradient = gradient if self.moves is None else gradient * self.moves
        if self.shrinkage:
            shrinkage = self.shrinkage if self.moves is None else self.shrinkage * self.moves
            weights.mul_(1 - self.rate * shrinkage)
        if isinstance(self.rate, Tensor):
            weights.addcmul_(gradient, self.rate, value=-1)
        else:
            weights.sub_(gradient, alpha=self.rate)


def rule_of(local: LocalTraining, factor: float, terms: LocalTerms, received: Tensor) -> Rule:
    """The rule of a round. factor: on the learning rate; received: the trainable parameters, [T] or [c, T]."""
    rate: float | Tensor = local.learning_rate * factor
    if terms.rate_factors is not None:
        rate = torch.from_numpy(rate * terms.rate_factors).to(received)[:, None]
    optimiser = local.optimiser.build()
    within, apart = (0.0, local.weight_decay) if optimiser.decoupled else (local.weight_decay, 0.0)
    return Rule(
        rate,
        local.momentum,
        within + terms.proximal,
        terms.shift(received),
        local.max_gradient_norm,
        None if optimiser.direction is None else optimiser,
        apart,
        None if terms.phase is None else terms.phase.moves.to(received)[None],
    )


def memory_of(rule: Rule, weights: Tensor) -> Memory:
    """The memory with which clients begin a round: zeros like their weights."""
    return {name: torch.zeros_like(weights) for name in rule.remembers}


def clip_norms(gradients: Sequence[Tensor], max_norm: float) -> None:
    """Scale the gradient of each client down in place, to a norm of at most max_norm.

    gradients: the parts of it, [c, ...] each. Pascanu et al. 2013, "On the difficulty of training recurrent
    neural networks", algorithm 1, with the 1e-6 that torch.nn.utils.clip_grad_norm_ adds to the norm.
    """
    norms = torch.stack([torch.linalg.vector_norm(part.flatten(1), dim=1) for part in gradients])
    factors = (max_norm / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp_(max=1)
    for part in gradients:
        part.mul_(factors.view(-1, *[1] * (part.dim() - 1)))
