"""Label skew: each class is shared out among the clients by a draw from a Dirichlet distribution."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from data_partitioners.assignment import Mix, drawn_counts, owners_of
from data_partitioners.classes import Classes, checked_bins, classes_of
from data_partitioners.minimum_size import checked_min_size, filled_up
from data_partitioners.partition import Partition, Pool, by_owner, numbered, stated_number
from data_partitioners.skew import Skew


def dirichlet(
    alpha: float | tuple[float, ...],
    min_size: int = 0,
    balance: bool = False,
    like: Literal["fedstudy", "niid_bench", "flwr"] = "fedstudy",
    bins: int = 10,
) -> Skew:
    """For each class, the clients' shares of its examples are one draw from Dir(alpha, ..., alpha).

    Yurochkin et al. 2019, "Bayesian Nonparametric Federated Learning of Neural Networks", section 4. A small
    alpha means few classes a client and unequal sizes; a large one approaches `iid`. Counts are the
    differences of rounded cumulative shares.

    alpha: one for all clients, or a list of one for each (unseen clients included).
    balance: a client that already holds N / K examples gets nothing of the classes that follow, as in NIID-Bench
        (Li et al. 2022); classes come in the order in which they first appear in the pool. Off unless asked for.
    like: "niid_bench" balances and cuts where the cumulative shares are rounded down, as its code does; "flwr"
        cuts so too, and with `balance` a client is full once it holds more than N / K, as in flwr-datasets.
    min_size: clients below it are filled up from the largest clients, chosen at random. This moves the law away
        from the Dirichlet's: sizes are no longer distributed as its sums are; `moved_examples` says by how
        much. (NIID-Bench and flwr-datasets redraw everything until no client is too small, which also changes
        the law, and may never end.) Off unless asked for.
    bins: for regression, the classes are this many quantile bins of the target.

    Composed with stated sizes, each client draws its examples by its shares of the classes, one without
    replacement, until its size is reached (`client_dirichlet` says what happens when a class runs out).
    """
    alphas = np.atleast_1d(np.asarray(alpha, np.float64))
    if bad := [value for value in alphas.tolist() if not (value > 0 and math.isfinite(value))]:
        raise ValueError(f"alpha must be a finite number > 0, got {bad[0]}")
    if not len(alphas):
        raise ValueError("alpha must be a number, or a list with one for each client, got an empty list")
    checked_min_size(min_size)
    checked_bins(bins)
    is_list = not isinstance(alpha, int | float)

    def deal(
        pool: Pool, num_clients: int | None, sizes: np.ndarray | None, generator: np.random.Generator
    ) -> Partition:
        number = stated_number(num_clients, pool, "dirichlet")
        if is_list and len(alphas) != number:
            raise ValueError(
                f"partitioner: dirichlet: alpha lists {len(alphas)} values for {number} clients (unseen included)"
            )
        classes = classes_of(pool, "dirichlet", bins)
        each = _within_range(np.broadcast_to(alphas, number))
        if sizes is not None:
            if min_size:
                raise ValueError("partitioner: dirichlet: min_size has no meaning where sizes are stated")
            counts = drawn_counts(sizes, classes.counts, _mixes(classes, each, generator), generator)
            return numbered(by_owner(owners_of(classes, counts, generator), number))
        owners = _owners(classes, each, balance or like == "niid_bench", like, generator)
        owners, moved = filled_up(owners, number, min_size, generator, "dirichlet")
        return numbered(by_owner(owners, number), moved)

    return Skew("dirichlet", deal=deal, keeps_sizes=True)


def _within_range(alphas: np.ndarray) -> np.ndarray:
    """Beyond these bounds numpy's variates under- or overflow, and the law has long reached its limits: one client
    that takes all, and equal shares."""
    return np.asarray(np.clip(alphas, 1e-300, 1e300 / len(alphas)))


def _owners(
    classes: Classes, alphas: np.ndarray, balance: bool, like: str, generator: np.random.Generator
) -> np.ndarray:
    """The client of each example, int64 [N]."""
    size, number = len(classes.codes), len(alphas)
    owners, sizes = np.empty(size, np.int64), np.zeros(number, np.int64)
    to_whole = np.rint if like == "fedstudy" else np.floor
    for members in classes.members():
        shares = generator.dirichlet(alphas)
        if balance:
            shares = _without_full(
                shares, sizes <= size / number if like == "flwr" else sizes < size / number
            )
        cuts = to_whole(np.cumsum(shares)[:-1] * len(members)).astype(np.int64)
        counts = np.diff(cuts, prepend=0, append=len(members))
        owners[generator.permutation(members)] = np.repeat(np.arange(number), counts)
        sizes += counts
    return owners


def _mixes(classes: Classes, alphas: np.ndarray, generator: np.random.Generator) -> Mix:
    """Each client's mix: its shares of the classes times their sizes."""
    shares = np.stack([generator.dirichlet(alphas) for _ in classes.counts], axis=1) * classes.counts
    return lambda clients, left: shares[clients]


def _without_full(shares: np.ndarray, open_clients: np.ndarray) -> np.ndarray:
    """The shares of the clients that are not full yet, summing to one again."""
    kept = np.where(open_clients, shares, 0.0)
    kept = kept if kept.sum() > 0 else open_clients.astype(np.float64)
    return np.asarray(kept / kept.sum())
