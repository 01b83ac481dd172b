"""A share of every client's examples is a random sample, the rest is skewed."""

from __future__ import annotations

import numpy as np

from data_partitioners.assignment import apportioned, equal_sizes
from data_partitioners.compose import as_skew
from data_partitioners.partition import Partition, Partitioner, Pool, Slices, by_owner, stated_number
from data_partitioners.skew import Skew


def partly_iid(rest: Partitioner, share: float) -> Skew:
    """A random `share` of the examples is dealt out evenly, the others by the partitioner `rest`.

    `partly_iid(shards(1), 0.1)` is the "10 % similarity" of Karimireddy et al. 2020 (SCAFFOLD), section 7, after
    Hsu et al. 2019. Composed with stated sizes, each client gets the share of its size at random.

    share: from 0 (all by `rest`) to 1 (as `iid`); the number of examples is rounded.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, got {share}")
    skew = as_skew(rest)
    if skew.deal is None or skew.transforms:
        raise ValueError(
            f"rest must be a partitioner that decides who gets which examples, got {skew.name}; compose it"
        )

    def deal(
        pool: Pool, num_clients: int | None, sizes: np.ndarray | None, generator: np.random.Generator
    ) -> Partition:
        if num_clients is not None:
            stated_number(num_clients, pool, "partly_iid")
        if sizes is None:
            order = generator.permutation(pool.size)
            first = round(share * pool.size)
            skewed = _rest(skew, pool, np.sort(order[first:]), num_clients, None, generator)
            number = len(skewed.names) if skewed else stated_number(num_clients, pool, "partly_iid")
            return _joined(pool.size, order[:first], equal_sizes(first, number), skewed)
        even = apportioned(sizes.astype(np.float64), round(share * int(sizes.sum())))
        order = generator.permutation(pool.size)
        left = np.sort(order[even.sum() :])
        return _joined(
            pool.size,
            order[: even.sum()],
            even,
            _rest(skew, pool, left, num_clients, sizes - even, generator),
        )

    return Skew("partly_iid", deal=deal, keeps_sizes=skew.keeps_sizes)


def _rest(
    skew: Skew,
    pool: Pool,
    left: np.ndarray,
    num_clients: int | None,
    sizes: np.ndarray | None,
    generator: np.random.Generator,
) -> Partition | None:
    """The partition of the examples `left`, as indices into the whole pool; None where there are none."""
    assert skew.deal is not None
    if not len(left):
        return None
    if num_clients is not None and num_clients > len(left):
        raise ValueError(
            f"partitioner: partly_iid: {num_clients} clients are more than the {len(left)} examples that are not dealt "
            "evenly; a smaller share is needed, or share 1"
        )
    dealt = skew.deal(_part_of(pool, left), num_clients, sizes, generator)
    if isinstance(dealt.indices, Slices):
        return dealt._replace(indices=Slices(left[dealt.flat], dealt.sizes))
    return dealt._replace(indices=tuple(left[held] for held in dealt.indices))


def _part_of(pool: Pool, kept: np.ndarray) -> Pool:
    """The pool of some of the examples."""

    def part(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[kept]

    features, column, origin = pool.features, pool.column, pool.origin
    return Pool(
        size=len(kept),
        labels=part(pool.labels),
        client_ids=part(pool.client_ids),
        client_names=pool.client_names,
        targets=part(pool.targets),
        features=None if features is None else lambda: features()[kept],
        column=None if column is None else lambda name: column(name)[kept],
        origin=None if origin is None else origin._replace(examples=origin.examples[kept]),
    )


def _joined(pool_size: int, even: np.ndarray, sizes: np.ndarray, skewed: Partition | None) -> Partition:
    """Each client's even and skewed examples together, in rising order."""
    number = len(sizes)
    clients = np.arange(number)
    owners = np.full(pool_size, -1, np.int64)
    owners[even] = np.repeat(clients, sizes)
    if skewed is None:
        return Partition(by_owner(owners, number), tuple(map(str, range(number))))
    owners[skewed.flat] = np.repeat(clients, skewed.sizes)
    return skewed._replace(indices=by_owner(owners, number))
