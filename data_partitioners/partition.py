"""The contract of a partitioner: a pool of training examples in, one index array per client out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from data_partitioners.transform import Transform


class Origin(NamedTuple):
    """The origin of a pool's examples.

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
    client_names: every natural client of the data set, in the order of `distinct_ids`, with or without examples in
        the pool.
    targets: float [N] or [N, outputs] for regression; None for classification.
    features: makes the features of the pool, [N, ...], for partitioners that look at them.
    column: finds a property of the examples by its name, float64 [N]; raises ValueError where there is none.
    origin: where the examples come from; None: they are all there is.
    """

    size: int
    labels: np.ndarray | None = None
    client_ids: np.ndarray | None = None
    client_names: np.ndarray | None = None
    targets: np.ndarray | None = None
    features: Callable[[], np.ndarray] | None = None
    column: Callable[[str], np.ndarray] | None = None
    origin: Origin | None = None


class Slices(Sequence[np.ndarray]):
    """Many index arrays as slices of one: `flat[offsets[k]:offsets[k + 1]]` is what client k holds.

    A million clients are two arrays instead of a million; a client's array is made when it is asked for.
    """

    def __init__(self, flat: np.ndarray, sizes: np.ndarray) -> None:
        """flat: int64, as long as the sum of sizes; sizes: int [K]."""
        self.flat = flat
        self.offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])
        if len(flat) != self.offsets[-1]:
            raise ValueError(f"sizes add up to {self.offsets[-1]}, but {len(flat)} examples are handed out")

    @property
    def sizes(self) -> np.ndarray:
        """Number of examples of each client, int64 [K]."""
        return np.diff(self.offsets)

    def of(self, clients: np.ndarray) -> Slices:
        """The same of some clients, int64 [k], in this order."""
        if len(clients) == len(self) and np.array_equal(clients, np.arange(len(self))):
            return self
        return sliced([self[client] for client in clients.tolist()])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return tuple(self[k] for k in range(*at.indices(len(self))))
        client = range(len(self))[at]
        return self.flat[self.offsets[client] : self.offsets[client + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.flat[start:end] for start, end in pairwise(self.offsets.tolist()))


def sliced(held: Sequence[np.ndarray]) -> Slices:
    """One index array per client as slices of one; as they are where they are."""
    return held if isinstance(held, Slices) else Slices(flat_of(held), sizes_of(held))


def sizes_of(held: Sequence[np.ndarray]) -> np.ndarray:
    """Number of examples of each client, int64 [K]."""
    if isinstance(held, Slices):
        return held.sizes
    return np.array([len(each) for each in held], np.int64)


def flat_of(held: Sequence[np.ndarray]) -> np.ndarray:
    """The examples of all clients, one client after another, int64; of slices not a copy."""
    if isinstance(held, Slices):
        return held.flat
    return np.concatenate(held) if len(held) else np.empty(0, np.int64)


class Partition(NamedTuple):
    """The examples that each client holds.

    indices: one int64 array per client, into the pool; every example exactly once unless the partitioner
        says what it leaves out. A client may hold nothing.
    names: one name per client.
    transforms: what happens to the examples of each client, in this order.
    moved: examples that were moved to another client than the law gave them to, to meet a minimum size.
    notes: what the partitioner found or did, in numbers, by the metric's name below `heterogeneity/`.
    groups: the true group of each client, int64 [K], where some clients are known to be alike and others are not; None
        where nothing is known of it.
    """

    indices: Sequence[np.ndarray]
    names: tuple[str, ...]
    transforms: tuple[Transform, ...] = ()
    moved: int = 0
    notes: Mapping[str, float] = {}
    groups: np.ndarray | None = None

    @property
    def sizes(self) -> np.ndarray:
        """Number of examples of each client, int64 [K]."""
        return sizes_of(self.indices)

    @property
    def flat(self) -> np.ndarray:
        """The examples of all clients, one client after another, int64."""
        return flat_of(self.indices)

    def digest(self) -> str:
        """A short content address: equal exactly when every client holds the same examples, in the same order, and
        the same happens to them."""
        hashed = hash_of([self.indices])
        for transform in self.transforms:
            hashed.update(transform.content())
        return hashed.hexdigest()[:16]


def hash_of(parts: Sequence[Sequence[np.ndarray]]) -> hashlib._Hash:
    """A hash of index arrays, several lists of them as one list: of the size of each, then of the examples."""
    hashed = hashlib.sha256(np.concatenate([sizes_of(part) for part in parts]).tobytes())
    for part in parts:
        hashed.update(np.ascontiguousarray(flat_of(part), "<i8").data)
    return hashed


@runtime_checkable
class Partitioner(Protocol):
    """(pool, number of clients or None where the study does not state one, generator) -> Partition."""

    def __call__(
        self, pool: Pool, num_clients: int | None, generator: np.random.Generator, /
    ) -> Partition: ...


def numbered(indices: Sequence[np.ndarray], moved: int = 0) -> Partition:
    """A partition whose clients have numbers for names."""
    held = indices if isinstance(indices, Slices) else tuple(i.astype(np.int64, copy=False) for i in indices)
    return Partition(held, tuple(map(str, range(len(indices)))), moved=moved)


def by_owner(owners: np.ndarray, number: int) -> Slices:
    """The examples of each of `number` clients, in rising order. owners: int64 [N], the client of each; -1: none."""
    sizes = np.bincount(owners[owners >= 0], minlength=number)
    # One sort of (client, example) packed into an integer: nearly twice as fast as a stable argsort.
    packed = owners * len(owners) + np.arange(len(owners))
    packed.sort()
    return Slices(packed[len(owners) - int(sizes.sum()) :] % max(len(owners), 1), sizes)


def stated_number(num_clients: int | None, pool: Pool, partitioner: str) -> int:
    """The number of clients. Raises ValueError where it is missing or larger than the number of examples."""
    if num_clients is None:
        raise ValueError(f"clients: {partitioner} needs a number of clients")
    if num_clients > pool.size:
        raise ValueError(f"clients: {num_clients} clients are more than the {pool.size} training examples")
    return num_clients


def checked(partition: object, pool_size: int, partitioner: str) -> Partition:
    """The partition, once it is sure that no example is held twice and every index is in the pool.

    Raises ValueError otherwise: a partitioner may be the user's own.
    """
    stated = partition.indices if isinstance(partition, Partition) else partition
    if isinstance(stated, Slices):
        indices: Sequence[np.ndarray] = stated
    elif isinstance(stated, list | tuple):
        indices = tuple(_index_array(held, partitioner) for held in stated)
    else:
        indices = ()
    if not len(indices):
        raise ValueError(
            f"partitioner: {partitioner} must return a Partition or one array of indices for each of at least one "
            f"client, got {type(stated).__name__}"
        )
    names = partition.names if isinstance(partition, Partition) else numbered(indices).names
    if len(names) != len(indices):
        raise ValueError(
            f"partitioner: {partitioner} names {len(names)} clients, but hands out to {len(indices)}"
        )
    whole = Partition(indices, names)
    held_at_all = whole.flat
    if len(held_at_all) and not 0 <= held_at_all.min() <= held_at_all.max() < pool_size:
        raise ValueError(f"partitioner: {partitioner} hands out an example outside 0 ... {pool_size - 1}")
    if len(held_at_all) and np.bincount(held_at_all).max() > 1:
        twice = int(np.bincount(held_at_all).argmax())
        raise ValueError(f"partitioner: {partitioner} hands out example {twice} more than once")
    if not len(held_at_all):
        raise ValueError(f"partitioner: {partitioner} hands out no example at all")
    groups = partition.groups if isinstance(partition, Partition) else None
    if groups is not None and (
        np.shape(groups) != (len(names),) or np.asarray(groups).dtype.kind not in "iu"
    ):
        raise ValueError(
            f"partitioner: {partitioner} must state the group of each of its {len(names)} clients as a whole number"
        )
    return partition._replace(indices=indices) if isinstance(partition, Partition) else whole


def _index_array(held: object, partitioner: str) -> np.ndarray:
    """The examples of one client as int64 [n]; an empty list is a client without examples."""
    indices = np.asarray(held)
    if indices.size == 0:
        return np.empty(0, np.int64)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise ValueError(
            f"partitioner: {partitioner} must return one array of indices per client, whole numbers [n] each, "
            f"got {indices.dtype} {list(indices.shape)}"
        )
    return indices.astype(np.int64, copy=False)
