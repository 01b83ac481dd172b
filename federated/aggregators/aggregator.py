"""The interface of an aggregator, which combines the updates of a cohort into one vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch import Tensor

from federated.aggregators.lora.layer import Rule


class Aggregator(NamedTuple):
    """A rule, pure.

    reduce: (weights float64 [C] that sum to one, decoded updates float32 [C, P] on the CPU) -> [P].
    linear: a sum over clients, so that a cohort can be reduced shard by shard, each with its part of the weights, and
        added up. All others are shown the whole cohort at once, which takes its updates' memory.
    of_products: what becomes of the factors of each low-rank adapter, by the mean of the clients' products, in place of
        what `reduce` makes of them; None: nothing else.
    beside: `of_products` also makes what is added to the frozen weights of adapted layers.
    """

    reduce: Callable[[np.ndarray, Tensor], Tensor]
    linear: bool = False
    of_products: Rule | None = None
    beside: bool = False
