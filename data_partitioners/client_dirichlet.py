"""Label skew at fixed sizes: each client has a label mix of its own, drawn from a Dirichlet distribution."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from data_partitioners.assignment import drawn_counts, equal_sizes, owners_of
from data_partitioners.classes import checked_bins, classes_of
from data_partitioners.partition import Partition, Pool, by_owner, numbered, stated_number
from data_partitioners.skew import Skew


def client_dirichlet(alpha: float, prior: Literal["pool", "uniform"] = "pool", bins: int = 10) -> Skew:
    """Clients of equal size, each with its own label mix from Dir(alpha p), p the shares of the classes.

    Hsu, Qi & Brown 2019, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification", section 3. Sizes are those stated by a part before this one in `compose`, else equal.

    alpha: the sum of the Dirichlet's parameters, as in the paper. Libraries that take one parameter for each of
        C classes (FedDyn, flwr-datasets' inner Dirichlet) mean alpha / C, with the prior "uniform".
    prior: p is the classes' shares of the pool, or the same for all.
    bins: for regression, the classes are this many quantile bins of the target.

    Examples are drawn without replacement. A class that more clients ask for than it has examples goes to some
    of them without preference; the others draw again from the rest of their mix. So towards the end mixes bend
    to what is left, as they must in any exact partition; in the paper's code the last clients bear it alone.
    """
    check_concentration("alpha", alpha)
    checked_bins(bins)

    def deal(
        pool: Pool, num_clients: int | None, sizes: np.ndarray | None, generator: np.random.Generator
    ) -> Partition:
        number = stated_number(num_clients, pool, "client_dirichlet")
        classes = classes_of(pool, "client_dirichlet", bins)
        sizes = equal_sizes(pool.size, number) if sizes is None else sizes
        weights = classes.counts if prior == "pool" else np.ones(len(classes.counts))
        mixes = dirichlet_rows(alpha * weights / weights.sum(), number, generator)
        counts = drawn_counts(sizes, classes.counts, lambda clients, left: mixes[clients], generator)
        return numbered(by_owner(owners_of(classes, counts, generator), number))

    return Skew("client_dirichlet", deal=deal, keeps_sizes=True)


def check_concentration(name: str, value: float) -> None:
    """Raises ValueError where `value` cannot be the parameter of a Dirichlet distribution."""
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be a finite number > 0, got {value}")


def dirichlet_rows(parameters: np.ndarray, number: int, generator: np.random.Generator) -> np.ndarray:
    """`number` draws from Dir(parameters [C]), [number, C]."""
    return generator.dirichlet(np.clip(parameters, 1e-300, 1e300 / len(parameters)), number)
