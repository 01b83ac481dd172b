"""Quantity skew: the clients' shares of all examples are one draw from a Dirichlet distribution."""

from __future__ import annotations

import numpy as np

from data_partitioners.client_dirichlet import check_concentration, dirichlet_rows
from data_partitioners.minimum_size import checked_min_size
from data_partitioners.size_law import sizes_of_shares
from data_partitioners.skew import Skew


def quantity_dirichlet(alpha: float, min_size: int = 0) -> Skew:
    """Sizes proportional to one draw from Dir(alpha, ..., alpha); the examples of each are a random sample.

    Li et al. 2022 (NIID-Bench), "quantity skew".

    min_size: every client gets this many first, and the law shares out the rest: sizes are an affine function of
        the Dirichlet's draw, so spread less. (NIID-Bench redraws until every client has at least 10, which bends
        the law in an unknown way.)
    """
    check_concentration("alpha", alpha)
    checked_min_size(min_size)

    def size_law(total: int, number: int, generator: np.random.Generator) -> np.ndarray:
        shares = dirichlet_rows(np.full(number, alpha), 1, generator)[0]
        return sizes_of_shares(shares, total, min_size, "quantity_dirichlet")

    return Skew("quantity_dirichlet", sizes=size_law)
