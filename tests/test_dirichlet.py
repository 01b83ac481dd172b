"""Dirichlet partitions follow their law, and their minimal sizes and balance do what they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from data_partitioners import Partition, Pool
from data_partitioners.dirichlet import dirichlet
from tests.test_partitioners import LABELS, POOL, numbers


def counts(partition: Partition, labels: np.ndarray) -> np.ndarray:
    """Examples of each class at each client [K, classes], counted one at a time."""
    table = np.zeros((len(partition.indices), labels.max() + 1), int)
    for client, held in enumerate(partition.indices):
        for index in held:
            table[client, labels[index]] += 1
    return table


@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0, 10.0])
def test_dirichlet_shares_have_the_mean_and_the_variance_of_the_law(alpha: float) -> None:
    """Mean 1/K; variance (K - 1) / (K^2 (K alpha + 1)); both within 5 standard errors."""
    clients, per_class, draws = 4, 1000, 600
    labels = np.repeat([0, 1], per_class)
    generator = numbers(11)
    shares = np.stack(
        [
            counts_by_class(dirichlet(alpha)(Pool(len(labels), labels), clients, generator), per_class)
            for _ in range(draws)
        ]
    ).reshape(-1, clients)
    variance = (clients - 1) / (clients**2 * (clients * alpha + 1))
    assert np.all(np.abs(shares.mean(axis=0) - 1 / clients) < 5 * np.sqrt(variance / len(shares)))
    squares = (shares - 1 / clients) ** 2
    error = squares.std(axis=0, ddof=1) / np.sqrt(len(shares))
    rounding = 1 / (6 * per_class**2)  # a share is a difference of two cuts, each rounded to 1 / per_class
    assert np.all(np.abs(squares.mean(axis=0) - variance) < 5 * error + rounding)


def counts_by_class(partition: Partition, per_class: int) -> np.ndarray:
    """Each client's share of class 0 and of class 1, [2, K]; classes are the halves of the pool."""
    first = np.array([(held < per_class).sum() for held in partition.indices])
    return np.stack([first, partition.sizes - first]) / per_class


@pytest.mark.parametrize("alpha", [0.3, 2.0])
def test_a_dirichlet_share_is_beta_distributed(alpha: float) -> None:
    """One client's share is Beta(alpha, (K - 1) alpha), by Kolmogorov-Smirnov."""
    clients, size = 5, 20_000
    generator = numbers(7)
    pool = Pool(size, np.zeros(size, int))
    shares = [dirichlet(alpha)(pool, clients, generator).sizes[2] / size for _ in range(400)]
    assert stats.kstest(shares, stats.beta(alpha, (clients - 1) * alpha).cdf).pvalue > 1e-4


def test_dirichlet_draws_each_class_independently() -> None:
    labels = np.repeat([0, 1], 500)
    generator = numbers(2)
    tables = [counts(dirichlet(0.5)(Pool(1000, labels), 3, generator), labels)[0] for _ in range(500)]
    assert abs(np.corrcoef(np.array(tables).T)[0, 1]) < 5 / np.sqrt(500)


def test_dirichlet_gives_any_example_of_a_class_to_any_client() -> None:
    labels = np.zeros(8, int)
    held_by = np.zeros((8, 2))
    generator = numbers(9)
    for _ in range(2000):
        for client, held in enumerate(dirichlet(50.0)(Pool(8, labels), 2, generator).indices):
            held_by[held, client] += 1
    assert stats.chi2_contingency(held_by).pvalue > 1e-4


@pytest.mark.parametrize("alpha", [1e6, 1e100, 1e308])
def test_a_huge_alpha_shares_every_class_equally(alpha: float) -> None:
    table = counts(dirichlet(alpha)(POOL, 5, numbers()), LABELS)
    assert np.all(np.abs(table - np.array([40, 30, 20, 10]) / 5) <= 1)


@pytest.mark.parametrize("alpha", [1e-3, 1e-100, 1e-310, 5e-324])
def test_a_tiny_alpha_gives_each_class_to_one_client_any_of_them(alpha: float) -> None:
    winners = np.zeros(4)
    for seed in range(400):
        table = counts(
            dirichlet(alpha)(Pool(20, np.repeat([0, 1], 10)), 4, numbers(seed)), np.repeat([0, 1], 10)
        )
        if alpha < 1e-3:
            assert np.all(table.max(axis=0) == 10)
        winners[table[:, 0].argmax()] += 1
        winners[table[:, 1].argmax()] += 1
    assert stats.chisquare(winners).pvalue > 1e-4


def test_alpha_of_a_thousandth_nearly_always_gives_a_class_to_one_client() -> None:
    alone = [
        (counts(dirichlet(1e-3)(POOL, 4, numbers(seed)), LABELS).max(axis=0) == [40, 30, 20, 10]).mean()
        for seed in range(200)
    ]
    assert np.mean(alone) > 0.95


@pytest.mark.parametrize("min_size", [1, 7, 19, 20])
@pytest.mark.parametrize("alpha", [1e-310, 0.1, 5.0])
def test_min_size_is_honoured_up_to_what_is_possible(alpha: float, min_size: int) -> None:
    for seed in range(10):
        assert dirichlet(alpha, min_size=min_size)(POOL, 5, numbers(seed)).sizes.min() >= min_size


def test_min_size_moves_no_more_examples_than_it_must() -> None:
    for seed in range(20):
        free = dirichlet(0.1)(POOL, 5, numbers(seed))
        filled = dirichlet(0.1, min_size=8)(POOL, 5, numbers(seed))
        moved = sum(len(np.setdiff1d(a, b)) for a, b in zip(filled.indices, free.indices, strict=True))
        assert moved == np.maximum(8 - free.sizes, 0).sum()


def test_min_size_takes_from_the_largest_clients() -> None:
    """Whoever gave examples away is among the largest afterwards."""
    for seed in range(20):
        free = dirichlet(0.1)(POOL, 5, numbers(seed)).sizes
        filled = dirichlet(0.1, min_size=12)(POOL, 5, numbers(seed)).sizes
        assert np.all(filled[filled < free] >= filled.max() - 1)


def test_an_impossible_min_size_says_what_would_be_possible() -> None:
    with pytest.raises(
        ValueError, match="min_size 21 for 5 clients needs 105 examples, there are 100; at most 20"
    ):
        dirichlet(1.0, min_size=21)(POOL, 5, numbers())


def test_balance_stops_giving_classes_to_clients_that_hold_their_share() -> None:
    """Class by class: who held at least N / K before a class got nothing of it."""
    order = list(dict.fromkeys(LABELS.tolist()))
    capped = 0
    for seed in range(30):
        table = counts(dirichlet(0.3, balance=True)(POOL, 5, numbers(seed)), LABELS)
        before = np.zeros(5, int)
        for label in order:
            full = before >= 100 / 5
            capped += full.sum()
            assert np.all(table[full, label] == 0)
            before += table[:, label]
    assert capped > 0


def test_balance_makes_sizes_more_equal() -> None:
    free = [dirichlet(0.1)(POOL, 5, numbers(seed)).sizes.std() for seed in range(50)]
    balanced = [dirichlet(0.1, balance=True)(POOL, 5, numbers(seed)).sizes.std() for seed in range(50)]
    assert np.mean(balanced) < 0.8 * np.mean(free)
