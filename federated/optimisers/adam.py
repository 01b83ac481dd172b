"""Adam, with weight decay in the gradient or apart from it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from federated.foundation.scales import check_scale
from federated.optimisers.optimiser import Optimiser


def adam(beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> Optimiser:
    """Steps by the mean gradient over the root of the mean square, number by number. Every engine.

    beta1: how much of the mean of gradients is kept in a step, from 0 up to 1.
    beta2: the same of the mean of squares.
    epsilon: added to the root.

    Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization"; torch.optim.Adam. Weight decay is part of the
    gradient. Both means start at zero in every round and stay at the client; their bias is corrected as in the paper,
    so the first steps of a round are as long as the learning rate.
    """
    for name, beta in (("beta1", beta1), ("beta2", beta2)):
        if not 0 <= beta < 1:
            raise ValueError(f"{name} must be from 0 up to 1, without 1, got {beta}")
    check_scale("epsilon", epsilon)

    def direction(memory: Mapping[str, Tensor], gradient: Tensor, step: int) -> Tensor:
        mean = memory["mean"].lerp_(gradient, 1 - beta1)
        square = memory["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        root = (square / (1 - beta2**step)).sqrt_().add_(epsilon)
        return (mean / (1 - beta1**step)).div_(root)

    return Optimiser(("mean", "square"), direction, elementwise=True)


def adamw(beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> Optimiser:
    """Adam whose weight decay shrinks the parameters and is no part of the gradient. Every engine.

    beta1: how much of the mean of gradients is kept in a step, from 0 up to 1.
    beta2: the same of the mean of squares.
    epsilon: added to the root.

    Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization"; torch.optim.AdamW, but for its weight decay of
    0.01: here it is what `local.weight_decay` says. The proximal term of fedprox stays in the gradient.
    """
    return adam(beta1, beta2, epsilon)._replace(decoupled=True)
