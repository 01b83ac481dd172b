"""Label skew: the examples sorted by label are cut into shards, and every client gets a few of them."""

from __future__ import annotations

import numpy as np

from data_partitioners.assignment import equal_sizes
from data_partitioners.classes import checked_bins, classes_of
from data_partitioners.partition import Partition, Pool, by_owner, numbered, stated_number
from data_partitioners.skew import Skew


def shards(shards_per_client: int = 2, bins: int = 10) -> Skew:
    """Each client gets `shards_per_client` shards of equal size of the examples sorted by label.

    McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data", section 3
    (MNIST, 100 clients, 200 shards of 300). Where numbers do not divide, sizes differ by at most one; a shard
    that lies over the border of two classes holds both. Composed with stated sizes, a client's shards add up to
    its size.

    bins: for regression, the examples are sorted by this many quantile bins of the target.
    """
    if shards_per_client < 1:
        raise ValueError(f"shards_per_client must be at least 1, got {shards_per_client}")
    checked_bins(bins)

    def deal(
        pool: Pool, num_clients: int | None, sizes: np.ndarray | None, generator: np.random.Generator
    ) -> Partition:
        number = stated_number(num_clients, pool, "shards")
        needed = number * shards_per_client
        if needed > pool.size:
            raise ValueError(
                f"partitioner: shards: shards_per_client {shards_per_client} for {number} clients needs {needed} "
                f"examples, there are {pool.size}; at most {pool.size // number} is possible"
            )
        classes = classes_of(pool, "shards", bins)
        shuffled = generator.permutation(pool.size)
        line = shuffled[np.argsort(classes.codes[shuffled], kind="stable")]
        sizes = equal_sizes(pool.size, number) if sizes is None else sizes
        cut = _cut(sizes, shards_per_client)
        order = generator.permutation(needed)
        owners = np.full(pool.size, -1, np.int64)
        owners[line[: sizes.sum()]] = np.repeat(order // shards_per_client, cut[order])
        return numbered(by_owner(owners, number))

    return Skew("shards", deal=deal, keeps_sizes=True)


def _cut(sizes: np.ndarray, pieces: int) -> np.ndarray:
    """The sizes of each client's shards, one client after another, int64 [K pieces]."""
    return (sizes[:, None] // pieces + (np.arange(pieces) < sizes[:, None] % pieces)).ravel()
