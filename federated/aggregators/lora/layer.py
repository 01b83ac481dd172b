"""One adapted layer in a round: its factors at the server, their mean updates, and the sum of the updates' products."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch import Tensor

from federated.aggregators.lora.factors import Factors, added


class Layer(NamedTuple):
    """The factors of a layer whose weight changes by scale B A, all float64.

    a: [r, k], b: [d, r], as the server had them before the round. mean_a, mean_b: the weighted means of the clients'
    updates of them. products: the weighted sum of the products of these updates, b's by a's.
    """

    a: Tensor
    b: Tensor
    mean_a: Tensor
    mean_b: Tensor
    products: Factors

    @property
    def naive(self) -> Factors:
        """The product of the mean factors, which is what averaging A and B makes."""
        return Factors(self.b + self.mean_b, self.a + self.mean_a)

    @property
    def error(self) -> Factors:
        """The mean product minus the product of the means: the covariance of the updates of B and A over clients."""
        return added([self.products, Factors(-self.mean_b, self.mean_a)])

    @property
    def exact(self) -> Factors:
        """The weighted mean of the clients' products."""
        return added([self.naive, self.error])


class Made(NamedTuple):
    """What a rule makes of a layer.

    a, b: the new factors, float64. beside: what is to be added to the frozen weight, in units of B A; None: nothing.
    kept, discarded: squared Frobenius norms of what the new factors are of the mean product, and of what they are not.
    """

    a: Tensor
    b: Tensor
    beside: Factors | None = None
    kept: float = 0.0
    discarded: float = 0.0


Rule = Callable[[Layer, np.random.Generator], Made]
"""(layer, numbers of this round) -> what comes of it."""
