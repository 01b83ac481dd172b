"""Label skew: each class is shared out among the clients by a draw from a Dirichlet distribution."""

from __future__ import annotations

import math

import numpy as np

from data_partitioners.partition import Partition, Partitioner, Pool, class_labels, numbered, stated_number


def dirichlet(alpha: float, min_size: int = 0, balance: bool = False) -> Partitioner:
    """For each class, the clients' shares of its examples are one draw from Dir(alpha, ..., alpha).

    Yurochkin et al. 2019, "Bayesian Nonparametric Federated Learning of Neural Networks", section 4. A small
    alpha means few classes a client and unequal sizes; a large one approaches `iid`. Counts are the
    differences of rounded cumulative shares (the usual code truncates them instead).

    balance: a client that already holds N / K examples gets nothing of the classes that follow, as in NIID-Bench
        (Li et al. 2022); classes come in the order in which they first appear in the pool. Off unless asked for.
    min_size: clients below it are filled up from the largest clients, one example at a time, chosen at
        random. This moves the law away from the Dirichlet's: sizes are no longer distributed as its sums
        are. (NIID-Bench redraws everything until no client is too small, which also changes the law, and may
        never end.) Off unless asked for.
    """
    if not (alpha > 0 and math.isfinite(alpha)):
        raise ValueError(f"alpha must be a finite number > 0, got {alpha}")
    if min_size < 0:
        raise ValueError(f"min_size must be >= 0, got {min_size}")

    def partition(pool: Pool, num_clients: int | None, generator: np.random.Generator) -> Partition:
        number = stated_number(num_clients, pool, "dirichlet")
        if min_size * number > pool.size:
            raise ValueError(
                f"partitioner: dirichlet: min_size {min_size} for {number} clients needs {min_size * number} "
                f"examples, there are {pool.size}; at most {pool.size // number} is possible"
            )
        owners = _owners(class_labels(pool, "dirichlet"), number, alpha, balance, generator)
        if min_size:
            owners = _filled_up(owners, number, min_size, generator)
        order = np.argsort(owners, kind="stable")
        return numbered(np.split(order, np.cumsum(np.bincount(owners, minlength=number))[:-1]))

    return partition


def _owners(
    labels: np.ndarray, number: int, alpha: float, balance: bool, generator: np.random.Generator
) -> np.ndarray:
    """The client of each example, int64 [N]."""
    owners = np.empty(len(labels), np.int64)
    sizes = np.zeros(number, np.int64)
    for members in _members_by_class(labels):
        shares = _shares(number, alpha, generator)
        if balance:
            shares = _without_full(shares, sizes < len(labels) / number)
        cuts = np.rint(np.cumsum(shares)[:-1] * len(members)).astype(np.int64)
        counts = np.diff(cuts, prepend=0, append=len(members))
        owners[generator.permutation(members)] = np.repeat(np.arange(number), counts)
        sizes += counts
    return owners


def _members_by_class(labels: np.ndarray) -> list[np.ndarray]:
    """The examples of each class; classes in order of first appearance, so that their numbers do not matter."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
    return [members[label] for label in np.argsort(first)]


def _shares(number: int, alpha: float, generator: np.random.Generator) -> np.ndarray:
    """One draw from Dir(alpha, ..., alpha), [K]."""
    # Beyond these bounds numpy's variates under- or overflow, and the law has long reached its limits: one
    # client that takes all, and equal shares.
    return generator.dirichlet(np.full(number, min(max(alpha, 1e-300), 1e300 / number)))


def _without_full(shares: np.ndarray, open_clients: np.ndarray) -> np.ndarray:
    """The shares of the clients that are not full yet, summing to one again."""
    kept = np.where(open_clients, shares, 0.0)
    kept = kept if kept.sum() > 0 else open_clients.astype(np.float64)
    return np.asarray(kept / kept.sum())


def _filled_up(owners: np.ndarray, number: int, min_size: int, generator: np.random.Generator) -> np.ndarray:
    """Move single random examples from the largest clients to those below `min_size`."""
    owners = owners.copy()
    sizes = np.bincount(owners, minlength=number)
    for client in np.flatnonzero(sizes < min_size):
        while sizes[client] < min_size:
            donor = int(sizes.argmax())
            given = generator.choice(np.flatnonzero(owners == donor))
            owners[given] = client
            sizes[donor] -= 1
            sizes[client] += 1
    return owners
