"""Partitioners whose skew one parameter sets, for the search for a heterogeneity. One line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from data_partitioners.classes import classes_of
from data_partitioners.classes_per_client import classes_per_client
from data_partitioners.client_dirichlet import client_dirichlet
from data_partitioners.dirichlet import dirichlet
from data_partitioners.log_normal_sizes import log_normal_sizes
from data_partitioners.partition import Partitioner, Pool
from data_partitioners.power_law_sizes import power_law_sizes
from data_partitioners.quantity_dirichlet import quantity_dirichlet
from data_partitioners.shards import shards

_MOST_SHARDS = 1000


class OneParameter(NamedTuple):
    """A partitioner and its one parameter.

    ends: (pool, number of clients) -> (even, skewed), the values that make clients most alike and least
        alike; in between, skew rises. whole: whether it is a whole number; else it is searched on a
        logarithmic scale, so both ends are > 0. sizes: whether it skews sizes and leaves labels to chance.
    """

    make: Callable[..., Partitioner]
    parameter: str
    ends: Callable[[Pool, int], tuple[float, float]]
    whole: bool = False
    sizes: bool = False


def _shards(pool: Pool, number: int) -> tuple[float, float]:
    return min(pool.size // number, _MOST_SHARDS), 1


def _classes(pool: Pool, number: int) -> tuple[float, float]:
    return len(classes_of(pool, "target_heterogeneity", bins=10).counts), 1


ONE_PARAMETER: dict[str, OneParameter] = {
    # labels
    "dirichlet": OneParameter(dirichlet, "alpha", lambda *_: (1e5, 1e-3)),
    "client_dirichlet": OneParameter(client_dirichlet, "alpha", lambda *_: (1e5, 1e-2)),
    "shards": OneParameter(shards, "shards_per_client", _shards, whole=True),
    "classes_per_client": OneParameter(classes_per_client, "k", _classes, whole=True),
    # sizes
    "quantity_dirichlet": OneParameter(quantity_dirichlet, "alpha", lambda *_: (1e5, 1e-3), sizes=True),
    "log_normal_sizes": OneParameter(log_normal_sizes, "sigma", lambda *_: (1e-3, 5), sizes=True),
    "power_law_sizes": OneParameter(power_law_sizes, "exponent", lambda *_: (1e-3, 5), sizes=True),
}
