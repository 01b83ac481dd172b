"""Quantity skew: sizes by a simple law of the client's number, or one by one."""

from __future__ import annotations

from typing import Literal

import numpy as np

from data_partitioners.assignment import apportioned
from data_partitioners.skew import Skew


def sizes(law: tuple[int, ...] | Literal["linear", "square", "exponential"]) -> Skew:
    """Clients of stated sizes; the examples of each are a random sample, unless `compose` says which.

    law: a list with the size of each client (unseen ones included), in sum at most the examples there are; what
        is beyond it is left out. Or the size of client i = 1 ... K is proportional to i ("linear"), i^2 ("square") or
        e^i ("exponential"), as in flwr-datasets; nearly all of an exponential law is with the last few clients.
    """
    if not isinstance(law, str) and (not law or min(law) < 0 or sum(law) == 0):
        raise ValueError(f"law must list sizes >= 0, one of them above 0, got {list(law)}")

    def size_law(total: int, number: int, generator: np.random.Generator) -> np.ndarray:
        if isinstance(law, str):
            return apportioned(_SHARES[law](np.arange(1.0, number + 1)), total)
        if len(law) != number:
            raise ValueError(
                f"partitioner: sizes: law lists {len(law)} sizes for {number} clients (unseen included)"
            )
        if sum(law) > total:
            raise ValueError(f"partitioner: sizes: law adds up to {sum(law)} examples, there are {total}")
        return np.array(law, np.int64)

    return Skew("sizes", sizes=size_law)


_SHARES = {
    "linear": lambda i: i,
    "square": lambda i: i**2,
    "exponential": lambda i: np.exp(i - i[-1]),
}
