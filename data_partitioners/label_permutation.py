"""Concept skew: clients that permute the names of the classes."""

from __future__ import annotations

import numpy as np

from data_partitioners.partition import Pool
from data_partitioners.skew import Skew
from data_partitioners.transform import Transform, per_client


def label_permutation(share: float = 1.0, groups: int | None = None) -> Skew:
    """A share of the clients rename all classes: the same inputs, other labels, so that no one model fits all.

    The renaming is drawn evenly among those that move every class along one cycle, so no class keeps its name.
    The central test set keeps its labels, which are those of the clients that rename nothing.

    share: of the clients that rename, chosen at random, rounded.
    groups: how many renamings there are, given to the renaming clients in turn, as in clustered federated learning
        (Ghosh et al. 2020); unless stated, each client has its own.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, got {share}")
    if groups is not None and groups < 1:
        raise ValueError(f"groups must be at least 1, got {groups}")

    def draw(pool: Pool, number: int, generator: np.random.Generator) -> Transform:
        num_classes = number_of_classes(pool, "label_permutation")
        if groups is not None and groups > number:
            raise ValueError(
                f"partitioner: label_permutation: groups must be at most the number of clients, {number}, got {groups}"
            )
        renaming = generator.permutation(number)[: round(share * number)]
        cycles = _cycles(groups or max(len(renaming), 1), num_classes, generator)
        tables = np.tile(np.arange(num_classes), (number, 1))
        tables[renaming] = cycles[np.arange(len(renaming)) % len(cycles)]
        parameters = per_client(tables, np.arange(num_classes))
        return Transform("label_permutation", "targets", parameters, _rename, generator, groups=True)

    return Skew("label_permutation", transforms=(draw,))


def number_of_classes(pool: Pool, partitioner: str) -> int:
    """One more than the largest class number. Raises ValueError for regression and for a single class."""
    if pool.labels is None:
        raise ValueError(f"partitioner: {partitioner} needs class labels; the data set is a regression")
    number = int(pool.labels.max()) + 1
    if number < 2:
        raise ValueError(f"partitioner: {partitioner} needs at least 2 classes, there is {number}")
    return number


def _cycles(number: int, num_classes: int, generator: np.random.Generator) -> np.ndarray:
    """Renamings that move every class along one cycle through all, int64 [number, C], each equally likely."""
    order = np.argsort(generator.random((number, num_classes)), axis=1)
    tables = np.empty_like(order)
    np.put_along_axis(tables, order, np.roll(order, -1, axis=1), axis=1)
    return tables


def _rename(labels: np.ndarray, tables: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return np.asarray(tables[np.arange(len(labels)), labels])
