"""Label skew: every client holds examples of k classes (#C = k)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from data_partitioners.assignment import owners_of
from data_partitioners.classes import Classes, checked_bins, classes_of
from data_partitioners.partition import Partition, Pool, by_owner, numbered, stated_number
from data_partitioners.skew import Skew


def classes_per_client(
    k: int, deal: Literal["niid_bench", "random", "deterministic"] = "niid_bench", bins: int = 10
) -> Skew:
    """Each client holds k classes; a class is shared equally among the clients that hold it.

    Li et al. 2022, "Federated Learning on Non-IID Data Silos" (NIID-Bench), #C = k. Sizes follow from
    the deal. With more clients than classes "niid_bench" and "deterministic" leave out nothing; otherwise
    the examples of a class that no client gets are left out (`left_out_examples`).

    deal: "niid_bench": client i holds class i mod C and k - 1 others at random. "random": k at random.
        "deterministic": classes i, i + 1, ... mod C. Classes are counted in the order in which they first appear.
    bins: for regression, the classes are this many quantile bins of the target.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    checked_bins(bins)

    def deal_out(
        pool: Pool, num_clients: int | None, sizes: np.ndarray | None, generator: np.random.Generator
    ) -> Partition:
        number = stated_number(num_clients, pool, "classes_per_client")
        classes = classes_of(pool, "classes_per_client", bins)
        if k > len(classes.counts):
            raise ValueError(
                f"partitioner: classes_per_client: k is {k}, but there are {len(classes.counts)} classes; "
                f"at most {len(classes.counts)} is possible"
            )
        holds = _HOLDS[deal](number, len(classes.counts), k, generator)
        counts = _shared_equally(classes, holds, k)
        return numbered(by_owner(owners_of(classes, counts, generator), number))

    return Skew("classes_per_client", deal=deal_out)


def _niid_bench(number: int, num_classes: int, k: int, generator: np.random.Generator) -> np.ndarray:
    keys = generator.random((number, num_classes))
    keys[np.arange(number), np.arange(number) % num_classes] = -1.0
    return _smallest(keys, k)


def _random(number: int, num_classes: int, k: int, generator: np.random.Generator) -> np.ndarray:
    return _smallest(generator.random((number, num_classes)), k)


def _deterministic(number: int, num_classes: int, k: int, generator: np.random.Generator) -> np.ndarray:
    return (np.arange(num_classes) - np.arange(number)[:, None]) % num_classes < k


_HOLDS = {"niid_bench": _niid_bench, "random": _random, "deterministic": _deterministic}
"""(clients, classes, k, generator) -> which client holds which class, bool [K, C]."""


def _smallest(keys: np.ndarray, k: int) -> np.ndarray:
    """A mask of the k smallest keys of each row, bool [K, C]."""
    holds = np.zeros(keys.shape, bool)
    np.put_along_axis(holds, np.argpartition(keys, k - 1, axis=1)[:, :k], True, axis=1)
    return holds


def _shared_equally(classes: Classes, holds: np.ndarray, k: int) -> np.ndarray:
    """The number of each class for each client, int64 [K, C]. Raises ValueError where a client would get none."""
    holders = holds.sum(axis=0)
    if len(short := np.flatnonzero(holders > classes.counts)):
        label = int(short[0])
        raise ValueError(
            f"partitioner: classes_per_client: class {classes.labels[label]} is dealt to {holders[label]} clients "
            f"but has {classes.counts[label]} examples; about "
            f"{max(1, int(len(holds) * classes.counts[label] / holders[label]))} clients with {k} classes each, "
            "or a smaller k, are possible"
        )
    rank = np.cumsum(holds, axis=0) - 1
    each, spare = np.divmod(classes.counts, np.maximum(holders, 1))
    return np.where(holds, each + (rank < spare), 0)
