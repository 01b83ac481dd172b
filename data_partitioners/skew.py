"""A partitioner in its parts: the sizes of the clients, the choice of examples, and their transforms."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data_partitioners.assignment import equal_sizes
from data_partitioners.partition import Partition, Pool, Slices, numbered, stated_number
from data_partitioners.transform import Transform

SizeLaw = Callable[[int, int, np.random.Generator], np.ndarray]
"""(examples, clients, generator) -> how many each client gets, int64 [K], in sum at most the examples."""

Deal = Callable[[Pool, int | None, np.ndarray | None, np.random.Generator], Partition]
"""(pool, clients, stated sizes [K] or None, generator) -> who holds what."""

Draw = Callable[[Pool, int, np.random.Generator], Transform]
"""(pool, clients, generator) -> what happens to the examples of each client."""


@dataclass(frozen=True, eq=False)
class Skew:
    """A partitioner that `compose` can combine with others.

    name: for messages.
    sizes: who gets how many; None: whatever follows from `deal`.
    deal: who gets which; None: a random sample.
    transforms: what then happens to the examples, in this order.
    keeps_sizes: whether `deal` can hand out examples in stated sizes.

    Each part draws numbers of its own, so that arms that differ in one part share the others: clients of a
    noisy arm hold the very examples that they hold in the clean one.
    """

    name: str
    sizes: SizeLaw | None = None
    deal: Deal | None = None
    transforms: tuple[Draw, ...] = ()
    keeps_sizes: bool = False

    def __call__(self, pool: Pool, num_clients: int | None, generator: np.random.Generator) -> Partition:
        """The partition. Raises ValueError where the pool does not allow it, saying what would be possible."""
        # Of a copy: `deal` may be a partitioner that spawns too, whose numbers must not depend on the parts.
        for_sizes, *for_transforms = copy.deepcopy(generator).spawn(1 + len(self.transforms))
        sizes = None
        if self.sizes is not None:
            number = stated_number(num_clients, pool, self.name)
            sizes = self.sizes(pool.size, number, for_sizes)
        partition = (self.deal or random_deal(self.name))(pool, num_clients, sizes, generator)
        drawn = tuple(
            draw(pool, len(partition.indices), numbers)
            for draw, numbers in zip(self.transforms, for_transforms, strict=True)
        )
        return partition._replace(transforms=drawn, groups=groups_of(partition.groups, drawn))


def groups_of(stated: np.ndarray | None, transforms: Sequence[Transform]) -> np.ndarray | None:
    """The true group of each client, int64 [K], numbered in the order of their first clients; None where none is known.

    Clients are of one group where they are of one in all that is known: stated groups, and the parameters of transforms
    that make groups. Where every client is alone, or all are alike, nothing is known of who is like whom.
    """
    known = [np.asarray(stated).reshape(-1, 1)] if stated is not None else []
    for transform in transforms:
        if transform.groups:
            values = transform.parameters[:-1].reshape(len(transform.parameters) - 1, -1)
            known.append(np.unique(values, axis=0, return_inverse=True)[1].reshape(-1, 1))
    if not known:
        return None
    _, first, group = np.unique(np.hstack(known), axis=0, return_index=True, return_inverse=True)
    if not 1 < len(first) < len(group):
        return None
    return np.asarray(np.argsort(np.argsort(first))[group.reshape(-1)], np.int64)


def random_deal(name: str) -> Deal:
    """Every client gets a random sample, of its stated size or of equal sizes."""

    def deal(
        pool: Pool, num_clients: int | None, sizes: np.ndarray | None, generator: np.random.Generator
    ) -> Partition:
        number = stated_number(num_clients, pool, name)
        sizes = equal_sizes(pool.size, number) if sizes is None else sizes
        return numbered(Slices(generator.permutation(pool.size)[: sizes.sum()], sizes))

    return deal
