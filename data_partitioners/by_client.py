"""Natural clients: a column of the data set says who holds what."""

from __future__ import annotations

import numpy as np

from data_partitioners.partition import Partition, Partitioner, Pool


def by_client() -> Partitioner:
    """One client for each distinct natural client id, in sorted order; examples keep their order.

    The number of clients follows from the data; a study that states another number is refused. A client whose
    examples are all held out holds nothing, so that who the clients are does not depend on the draw.
    """

    def partition(pool: Pool, num_clients: int | None, generator: np.random.Generator) -> Partition:
        if pool.client_ids is None:
            raise ValueError(
                "partitioner: by_client needs a data set with client ids (a table's `client` column)"
            )
        present, clients = np.unique(pool.client_ids, return_inverse=True)
        names = present if pool.client_names is None else pool.client_names
        if num_clients not in (None, len(names)):
            raise ValueError(
                f"clients: {num_clients} was asked for, but the data set has {len(names)} natural clients; "
                "leave `clients` out"
            )
        owners = np.searchsorted(names, present)[clients]
        order = np.argsort(owners, kind="stable")
        indices = np.split(order, np.cumsum(np.bincount(owners, minlength=len(names)))[:-1])
        return Partition(tuple(indices), tuple(map(str, names)))

    return partition
