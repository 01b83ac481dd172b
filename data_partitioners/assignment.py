"""The assignment of examples to clients from counts per client and class; no loop over examples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data_partitioners.classes import Classes

Mix = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(clients int [k], which classes still have examples bool [C]) -> weights of the classes for these clients [k, C]."""


def apportioned(shares: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers that add up to `total` in proportion to `shares` [K], each within one of its exact share.

    Largest remainders: order is kept, and equal shares differ by at most one. All-zero shares count as equal.
    """
    shares = shares if shares.sum() > 0 else np.ones(len(shares))
    exact = shares / shares.sum() * total
    counts: np.ndarray = np.floor(exact).astype(np.int64)
    missing = total - int(counts.sum())
    if missing:  # rounding of `exact` can even leave one too many
        most = np.argsort(counts - exact, kind="stable")
        counts[most[:missing] if missing > 0 else most[missing:]] += np.sign(missing)
    return counts


def equal_sizes(total: int, number: int) -> np.ndarray:
    """`total` examples for `number` clients, sizes that differ by at most one, int64 [K]."""
    return total // number + (np.arange(number) < total % number).astype(np.int64)


def drawn_counts(
    sizes: np.ndarray, stock: np.ndarray, mix: Mix, generator: np.random.Generator
) -> np.ndarray:
    """The number of each class for each client, int64 [K, C]: rows sum to `sizes`, columns to at most `stock`.

    All clients draw what they are owed at once, each from its own mix. Where a class is asked for more often
    than it is there, who gets it is drawn without preference, and the others draw again from their mix of the
    classes that are left; a client whose mix has nothing left draws from the stock. Every pass empties a class
    or is the last, so there are at most C of them. sizes: int [K], in sum at most that of stock: int [C].
    """
    counts = np.zeros((len(sizes), len(stock)), np.int64)
    owed, left = sizes.copy(), stock.copy()
    while len(clients := np.flatnonzero(owed)):
        asked = generator.multinomial(owed[clients], _probabilities(mix(clients, left > 0), left))
        for label in np.flatnonzero(asked.sum(axis=0) > left):
            asked[:, label] = generator.multivariate_hypergeometric(
                asked[:, label], left[label], method="marginals"
            )
        counts[clients] += asked
        owed[clients] -= asked.sum(axis=1)
        left -= asked.sum(axis=0)
    return counts


def _probabilities(weights: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Weights [k, C] of the classes that are left, each row adding up to one."""
    weights = np.where(left > 0, weights, 0.0)
    largest = weights.max(axis=1, keepdims=True)
    weights = np.where(largest > 0, weights / np.where(largest > 0, largest, 1.0), left)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def owners_of(classes: Classes, counts: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The client of each example, int64 [N], drawn uniformly; -1 where no client holds it. counts: [K, C]."""
    owners = np.full(len(classes.codes), -1, np.int64)
    clients = np.arange(len(counts))
    for label, members in enumerate(classes.members()):
        held = np.repeat(clients, counts[:, label])
        owners[generator.permutation(members)[: len(held)]] = held
    return owners
