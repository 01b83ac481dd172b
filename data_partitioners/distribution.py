"""Label skew by an explicit table of each client's share of each class."""

from __future__ import annotations

from typing import Literal

import numpy as np

from data_partitioners.assignment import apportioned, drawn_counts, owners_of
from data_partitioners.classes import Classes, checked_bins, classes_of
from data_partitioners.partition import Partition, Pool, by_owner, numbered, stated_number
from data_partitioners.skew import Skew

CLASSES_A_CLIENT, FIRST_EXAMPLES, SPREAD = 2, 5, 2.0
"""Of the power law: classes a client, examples it surely gets of each, standard deviation of the log-normal."""


def distribution(
    table: tuple[tuple[float, ...], ...] | Literal["power_law"],
    unit: Literal["shares", "examples"] = "shares",
    bins: int = 10,
) -> Skew:
    """The share of each class that every client gets, as a table of labels x clients.

    table: one row for each class in rising order of its number, one column for each client, numbers >= 0. Or
        "power_law", the table of the MNIST experiment of FedProx (Li et al. 2020, "Federated Optimization in
        Heterogeneous Networks"): client i holds the classes i and i + 1 mod C, surely 5 examples of
        each, and the rest of a class in proportion to draws from a log-normal with sigma 2 (with fewer clients
        than classes, classes that no client holds are left out).
    unit: "shares": a row is rescaled so that the class is shared out whole. "examples": the table's whole
        numbers are handed out as they are, what is beyond them is left out, and more than there is is an error.
    bins: for regression, the classes are this many quantile bins of the target, in rising order.

    Composed with stated sizes, a client's column, in shares, is its label mix (see `client_dirichlet`).
    """
    stated = None if table == "power_law" else _checked(table, unit)
    if stated is None and unit == "examples":
        raise ValueError("unit must be 'shares' for the table 'power_law'")
    checked_bins(bins)

    def deal(
        pool: Pool, num_clients: int | None, sizes: np.ndarray | None, generator: np.random.Generator
    ) -> Partition:
        number = stated_number(num_clients, pool, "distribution")
        classes = classes_of(pool, "distribution", bins)
        if stated is None:
            counts = _power_law(classes, number, generator)
        else:
            rows = _for_codes(stated, classes, number)
            counts = _counts(rows, classes, unit)
        if sizes is not None:
            weights = counts.astype(np.float64)
            counts = drawn_counts(sizes, classes.counts, lambda clients, left: weights[clients], generator)
        return numbered(by_owner(owners_of(classes, counts, generator), number))

    return Skew("distribution", deal=deal, keeps_sizes=True)


def _checked(table: tuple[tuple[float, ...], ...] | str, unit: str) -> np.ndarray:
    if isinstance(table, str) or not table or len({len(row) for row in table}) != 1 or not table[0]:
        raise ValueError("table must be rows of equal length, one for each class, or 'power_law'")
    values = np.array(table, np.float64)
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise ValueError("table must hold finite numbers >= 0 only")
    if len(empty := np.flatnonzero(values.sum(axis=1) == 0)) and unit == "shares":
        raise ValueError(f"table gives row {empty[0]} to no client; a class needs a share above 0")
    if unit == "examples" and (values != np.rint(values)).any():
        raise ValueError("table must hold whole numbers where its unit is 'examples'")
    return values


def _for_codes(table: np.ndarray, classes: Classes, number: int) -> np.ndarray:
    """The table's rows in the order of the codes. Raises ValueError where its shape does not fit."""
    if table.shape != (len(classes.counts), number):
        raise ValueError(
            f"partitioner: distribution: table is {table.shape[0]} classes x {table.shape[1]} clients; the data has "
            f"{len(classes.counts)} classes, the study {number} clients (unseen included)"
        )
    return table[np.argsort(np.argsort(classes.labels))]


def _counts(rows: np.ndarray, classes: Classes, unit: str) -> np.ndarray:
    """The number of each class for each client, int64 [K, C]."""
    if unit == "shares":
        return np.stack(
            [apportioned(row, int(count)) for row, count in zip(rows, classes.counts, strict=True)], axis=1
        )
    wanted = rows.sum(axis=1).astype(np.int64)
    if len(short := np.flatnonzero(wanted > classes.counts)):
        label = int(short[0])
        raise ValueError(
            f"partitioner: distribution: table asks for {wanted[label]} examples of class {classes.labels[label]}, "
            f"there are {classes.counts[label]}"
        )
    return rows.T.astype(np.int64)


def _power_law(classes: Classes, number: int, generator: np.random.Generator) -> np.ndarray:
    """FedProx's counts, int64 [K, C]. Raises ValueError where the first examples of all are more than there are."""
    num_classes = len(classes.counts)
    k = min(CLASSES_A_CLIENT, num_classes)
    holds = (np.arange(num_classes) - np.arange(number)[:, None]) % num_classes < k
    first = FIRST_EXAMPLES * holds
    if len(short := np.flatnonzero(first.sum(axis=0) > classes.counts)):
        label = int(short[0])
        raise ValueError(
            f"partitioner: distribution: the power law needs {first[:, label].sum()} examples of class "
            f"{classes.labels[label]} for {number} clients, there are {classes.counts[label]}; at most about "
            f"{int(classes.counts.min()) * num_classes // (FIRST_EXAMPLES * k)} clients are possible"
        )
    weights = np.where(holds, generator.lognormal(0.0, SPREAD, holds.shape), 0.0)
    rest = classes.counts - first.sum(axis=0)
    shared = [
        np.where(held.any(), apportioned(column * held, int(left)), 0)
        if held.any()
        else np.zeros(number, int)
        for column, held, left in zip(weights.T, holds.T, rest, strict=True)
    ]
    return np.asarray(first + np.stack(shared, axis=1))
