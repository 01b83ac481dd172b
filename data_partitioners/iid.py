"""Every client gets a random sample of the same size."""

from __future__ import annotations

import numpy as np

from data_partitioners.partition import Partition, Partitioner, Pool, numbered, stated_number


def iid() -> Partitioner:
    """Shuffle the examples and deal them out; sizes differ by at most one."""

    def partition(pool: Pool, num_clients: int | None, generator: np.random.Generator) -> Partition:
        number = stated_number(num_clients, pool, "iid")
        return numbered(np.array_split(generator.permutation(pool.size), number))

    return partition
