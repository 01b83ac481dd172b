"""Label skew in two levels: groups of related classes, and classes within a group (Pachinko allocation)."""

from __future__ import annotations

import numpy as np

from data_partitioners.assignment import Mix, drawn_counts, equal_sizes, owners_of
from data_partitioners.classes import Classes, classes_of
from data_partitioners.client_dirichlet import check_concentration, dirichlet_rows
from data_partitioners.partition import Partition, Pool, by_owner, numbered, stated_number
from data_partitioners.skew import Skew


def hierarchical_dirichlet(
    groups: tuple[tuple[int, ...], ...], alpha: float = 0.1, beta: float = 10.0
) -> Skew:
    """Clients of equal size; each draws a mix of groups from Dir(alpha, ...), and one of classes in each group.

    Reddi et al. 2021, "Adaptive Federated Optimization", appendix F (CIFAR-100, 500 clients of 100 examples,
    alpha 0.1 over 20 coarse labels and beta 10 over the 5 fine ones of each), after the Pachinko allocation
    model of Li & McCallum 2006. A class that has run out is taken out of its group's mix, a group that has run
    out of the client's. Ours deals to all clients at once (see `client_dirichlet`), theirs to one example at a time.

    groups: the class numbers of each group, such as [[0, 1], [2, 3, 4]]; every class in one group.
    alpha, beta: parameters of the symmetric Dirichlet distributions over groups, and over classes in a group.
    """
    check_concentration("alpha", alpha)
    check_concentration("beta", beta)
    listed = [label for group in groups for label in group]
    if len(groups) < 2 or not all(groups):
        raise ValueError(f"groups must be at least 2 lists of class numbers, none empty, got {groups}")
    if twice := sorted({label for label in listed if listed.count(label) > 1}):
        raise ValueError(f"groups must not overlap, but class {twice[0]} is listed more than once")

    def deal(
        pool: Pool, num_clients: int | None, sizes: np.ndarray | None, generator: np.random.Generator
    ) -> Partition:
        number = stated_number(num_clients, pool, "hierarchical_dirichlet")
        if pool.labels is None:
            raise ValueError(
                "partitioner: hierarchical_dirichlet needs class labels; the data set is a regression"
            )
        classes = classes_of(pool, "hierarchical_dirichlet", 2)
        sizes = equal_sizes(pool.size, number) if sizes is None else sizes
        members = _members(groups, classes)
        counts = drawn_counts(
            sizes, classes.counts, _mixes(members, alpha, beta, number, generator), generator
        )
        return numbered(by_owner(owners_of(classes, counts, generator), number))

    return Skew("hierarchical_dirichlet", deal=deal, keeps_sizes=True)


def _members(groups: tuple[tuple[int, ...], ...], classes: Classes) -> list[np.ndarray]:
    """The codes of the classes in each group. Raises ValueError where a class is in no group, or there is none such."""
    listed, present = {label for group in groups for label in group}, set(classes.labels.tolist())
    if missing := sorted(present - listed):
        raise ValueError(f"partitioner: hierarchical_dirichlet: class {missing[0]} is in none of the groups")
    if unknown := sorted(listed - present):
        raise ValueError(
            f"partitioner: hierarchical_dirichlet: groups names class {unknown[0]}, but the pool's classes are "
            f"{', '.join(map(str, sorted(present)))}"
        )
    code_of = {label: code for code, label in enumerate(classes.labels.tolist())}
    return [np.array([code_of[label] for label in group]) for group in groups]


def _mixes(
    members: list[np.ndarray], alpha: float, beta: float, number: int, generator: np.random.Generator
) -> Mix:
    of_groups = dirichlet_rows(np.full(len(members), alpha), number, generator)
    within = [dirichlet_rows(np.full(len(codes), beta), number, generator) for codes in members]

    def mix(clients: np.ndarray, left: np.ndarray) -> np.ndarray:
        weights = np.zeros((len(clients), len(left)))
        for at, codes in enumerate(members):
            shares = within[at][clients] * left[codes]
            total = shares.sum(axis=1, keepdims=True)
            shares = np.where(total > 0, shares / np.where(total > 0, total, 1.0), left[codes])
            weights[:, codes] = of_groups[clients, at, None] * shares
        return weights

    return mix
