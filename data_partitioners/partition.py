"""The contract of a partitioner: a pool of training examples in, one index array per client out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Origin(NamedTuple):
    """Where the examples of a pool come from.

    examples: int64 [N], the number of each in the data set. size: of the whole data set. data_digest: its
    content address.
    """

    examples: np.ndarray
    size: int
    data_digest: str


class Pool(NamedTuple):
    """The training examples that are to be handed out; partitioners see these and nothing else.

    size: number of examples N.
    labels: int [N], class numbers; None for regression.
    client_ids: natural client of each example [N]; None where the data set has none.
    client_names: every natural client of the data set, in sorted order, with or without examples in the pool.
    origin: where the examples come from; None: they are all there is.
    """

    size: int
    labels: np.ndarray | None = None
    client_ids: np.ndarray | None = None
    client_names: np.ndarray | None = None
    origin: Origin | None = None


class Partition(NamedTuple):
    """Who holds what.

    indices: one int64 array per client, into the pool; every example exactly once unless the partitioner
        says what it leaves out. A client may hold nothing.
    names: one name per client.
    notes: what the partitioner found or did, in numbers, by the metric's name below `heterogeneity/`.
    """

    indices: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    notes: Mapping[str, float] = {}

    @property
    def sizes(self) -> np.ndarray:
        """Number of examples of each client, int64 [K]."""
        return np.array([len(held) for held in self.indices], np.int64)

    def digest(self) -> str:
        """A short content address: equal exactly when every client holds the same examples in the same order."""
        hashed = hashlib.sha256(self.sizes.tobytes())
        for held in self.indices:
            hashed.update(held.astype("<i8", copy=False).tobytes())
        return hashed.hexdigest()[:16]


Partitioner = Callable[[Pool, int | None, np.random.Generator], Partition]
"""(pool, number of clients or None where the study does not state one, generator) -> Partition."""


def numbered(indices: Sequence[np.ndarray]) -> Partition:
    """A partition whose clients have numbers for names."""
    return Partition(
        tuple(held.astype(np.int64, copy=False) for held in indices), tuple(map(str, range(len(indices))))
    )


def stated_number(num_clients: int | None, pool: Pool, partitioner: str) -> int:
    """The number of clients. Raises ValueError where it is missing or larger than the number of examples."""
    if num_clients is None:
        raise ValueError(f"clients: {partitioner} needs a number of clients")
    if num_clients > pool.size:
        raise ValueError(f"clients: {num_clients} clients are more than the {pool.size} training examples")
    return num_clients


def class_labels(pool: Pool, partitioner: str) -> np.ndarray:
    """The labels of a classification pool. Raises ValueError for regression."""
    if pool.labels is None:
        raise ValueError(f"partitioner: {partitioner} needs class labels; the data set is a regression")
    return pool.labels


def checked(partition: object, pool_size: int, partitioner: str) -> Partition:
    """The partition, once it is sure that no example is held twice and every index is in the pool.

    Raises ValueError otherwise: a partitioner may be the user's own.
    """
    stated = partition.indices if isinstance(partition, Partition) else partition
    indices = (
        tuple(_index_array(held, partitioner) for held in stated) if isinstance(stated, list | tuple) else ()
    )
    if not indices:
        raise ValueError(
            f"partitioner: {partitioner} must return a Partition or one array of indices for each of at least one "
            f"client, got {type(stated).__name__}"
        )
    names = partition.names if isinstance(partition, Partition) else numbered(indices).names
    if len(names) != len(indices):
        raise ValueError(
            f"partitioner: {partitioner} names {len(names)} clients, but hands out to {len(indices)}"
        )
    partition = Partition(indices, names, partition.notes if isinstance(partition, Partition) else {})
    held_at_all = np.concatenate(partition.indices)
    if len(held_at_all) and not 0 <= held_at_all.min() <= held_at_all.max() < pool_size:
        raise ValueError(f"partitioner: {partitioner} hands out an example outside 0 ... {pool_size - 1}")
    if len(held_at_all) and np.bincount(held_at_all).max() > 1:
        twice = int(np.bincount(held_at_all).argmax())
        raise ValueError(f"partitioner: {partitioner} hands out example {twice} more than once")
    if not len(held_at_all):
        raise ValueError(f"partitioner: {partitioner} hands out no example at all")
    return partition


def _index_array(held: object, partitioner: str) -> np.ndarray:
    """What one client holds as int64 [n]; an empty list is a client that holds nothing."""
    indices = np.asarray(held)
    if indices.size == 0:
        return np.empty(0, np.int64)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise ValueError(
            f"partitioner: {partitioner} must return one array of indices per client, whole numbers [n] each, "
            f"got {indices.dtype} {list(indices.shape)}"
        )
    return indices.astype(np.int64, copy=False)
