"""A few examples of many clients, to measure features on without looking at all of them."""

from __future__ import annotations

import numpy as np

from data_partitioners.heterogeneity.label_counts import owners_of
from data_partitioners.partition import Partition

FEWEST_A_CLIENT = 16


def sampled(partition: Partition, most: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(examples, their clients), int64 [M] each, M about `most` at the most.

    Clients are drawn at random where not all of them can have 16; each gives as many random examples as
    another, or all it holds.
    """
    held = np.flatnonzero(partition.sizes)
    chosen = np.sort(generator.permutation(held)[: max(most // FEWEST_A_CLIENT, 1)])
    few = Partition(tuple(partition.indices[client] for client in chosen), ())
    examples, owners = few.flat, owners_of(few)
    order = generator.permutation(len(owners))
    order = order[np.argsort(owners[order], kind="stable")]  # by client, at random within
    place = np.arange(len(order)) - np.repeat(few.sizes.cumsum() - few.sizes, few.sizes)
    kept = order[place < most // len(chosen)]
    return examples[kept], chosen[owners[kept]]
