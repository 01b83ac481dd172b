"""Partitioners whose skew one parameter sets: what a search for a heterogeneity can turn. One line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from data_partitioners.dirichlet import dirichlet
from data_partitioners.partition import Partitioner, Pool


class OneParameter(NamedTuple):
    """A partitioner and its one parameter.

    ends: (pool, number of clients) -> (even, skewed), the values that make clients most alike and least
        alike; in between, skew rises. whole: whether it is a whole number; else it is searched on a
        logarithmic scale, so both ends are > 0.
    """

    make: Callable[..., Partitioner]
    parameter: str
    ends: Callable[[Pool, int], tuple[float, float]]
    whole: bool = False


ONE_PARAMETER: dict[str, OneParameter] = {
    "dirichlet": OneParameter(dirichlet, "alpha", lambda pool, number: (1e5, 1e-3)),
}
"""Of a whole number: `"name": OneParameter(factory, "argument", lambda pool, number: (10, 1), whole=True)`."""
