"""Natural clients, given by a column of the data set."""

from __future__ import annotations

import numpy as np

from data_partitioners.ids import distinct_ids
from data_partitioners.partition import Partition, Pool, by_owner
from data_partitioners.skew import Skew


def by_client() -> Skew:
    """One client for each distinct natural client id, numbers before texts, sorted; examples keep their order.

    The number of clients follows from the data; a study that states another number is refused. A client whose
    examples are all held out holds nothing, so that who the clients are does not depend on the draw.
    """

    def deal(
        pool: Pool, num_clients: int | None, sizes: np.ndarray | None, generator: np.random.Generator
    ) -> Partition:
        owners, names = natural_owners(pool, "by_client")
        if num_clients not in (None, len(names)):
            raise ValueError(
                f"clients: {num_clients} was asked for, but the data set has {len(names)} natural clients; "
                "leave `clients` out"
            )
        return Partition(by_owner(owners, len(names)), names)

    return Skew("by_client", deal=deal)


def natural_owners(pool: Pool, partitioner: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """(the number of the natural client of each example, int64 [N]; the names of all natural clients).

    Raises ValueError where the data set has none.
    """
    if pool.client_ids is None:
        raise ValueError(
            f"partitioner: {partitioner} needs a data set with client ids (a table's `client` column)"
        )
    present, clients = distinct_ids(pool.client_ids)
    names = present if pool.client_names is None else pool.client_names
    sorter = np.argsort(names)
    return sorter[np.searchsorted(names, present, sorter=sorter)][clients], tuple(map(str, names))
