"""The measures of heterogeneity against scipy and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from data_partitioners import Partition
from data_partitioners.heterogeneity import label_counts, label_divergence, size_gini


def by_scipy(counts: np.ndarray) -> float:
    """The size-weighted mean of scipy's squared Jensen-Shannon distance, in bits, client by client."""
    pooled, total = counts.sum(axis=0), counts.sum()
    return sum(jensenshannon(row, pooled, base=2) ** 2 * row.sum() / total for row in counts if row.sum())


@pytest.mark.parametrize("seed", range(10))
def test_label_divergence_is_scipys(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    counts = numbers.poisson(numbers.gamma(0.3, 20, size=(7, 5)))
    counts[0, 0] += 1
    assert label_divergence(counts) == pytest.approx(by_scipy(counts), abs=1e-12)


def test_two_clients_of_one_class_each_have_the_divergence_worked_by_hand() -> None:
    """Mixes (1, 0) and (1/2, 1/2), their mean (3/4, 1/4): H(3/4, 1/4) - (0 + 1) / 2 = 3/2 - 3/4 log2 3."""
    assert label_divergence(np.array([[6, 0], [0, 6]])) == pytest.approx(1.5 - 0.75 * np.log2(3))


def test_equal_mixes_have_no_divergence_whatever_the_sizes() -> None:
    assert label_divergence(np.array([[1, 2, 3], [10, 20, 30], [2, 4, 6]])) == pytest.approx(0, abs=1e-15)
    assert label_divergence(np.array([[1, 3], [3, 9], [7, 21]])) >= 0


def test_clients_count_by_their_size() -> None:
    small, large = np.array([[1, 0], [50, 50]]), np.array([[100, 0], [50, 50]])
    assert label_divergence(small) == pytest.approx(by_scipy(small))
    assert label_divergence(large) > 5 * label_divergence(small)


def test_empty_clients_change_nothing() -> None:
    counts = np.array([[3, 1, 0], [0, 2, 5]])
    padded = np.array([[0, 0, 0], [3, 1, 0], [0, 0, 0], [0, 2, 5]])
    assert label_divergence(padded) == label_divergence(counts)


def test_divergence_stays_below_one_bit_and_grows_with_the_number_of_pure_clients() -> None:
    values = [label_divergence(10 * np.eye(number, dtype=int)) for number in (2, 5, 50, 500)]
    assert values == sorted(values)
    assert 0.98 < values[-1] < 1


def test_label_counts_are_those_of_a_loop() -> None:
    labels = np.array([2, 0, 1, 1, 2, 2, 0])
    held = (np.array([0, 4, 1]), np.array([], np.int64), np.array([3]))
    counts = label_counts(labels, Partition(held, ("a", "b", "c")), 4)
    assert counts.tolist() == [[1, 0, 2, 0], [0, 0, 0, 0], [0, 1, 0, 0]]


@pytest.mark.parametrize(
    ("sizes", "gini"),
    [
        ([5, 5, 5, 5], 0.0),
        ([0, 0, 0, 12], 3 / 4),
        ([7], 0.0),
        ([1, 3], 1 / 4),  # mean difference of all pairs 4 / 4 = 1, over twice the mean of 2
        ([1, 2, 3, 4], 1 / 4),  # mean difference 20 / 16, over twice the mean of 2.5
        ([4, 1, 3, 2], 1 / 4),
        ([0, 10], 1 / 2),
    ],
)
def test_gini_of_cases_worked_by_hand(sizes: list[int], gini: float) -> None:
    assert size_gini(np.array(sizes)) == pytest.approx(gini)


def test_gini_is_the_mean_difference_of_all_pairs_over_twice_the_mean() -> None:
    sizes = np.random.default_rng(3).integers(0, 50, 23)
    pairs = np.mean([abs(a - b) for a in sizes for b in sizes])
    assert size_gini(sizes) == pytest.approx(pairs / (2 * sizes.mean()))
    assert size_gini(1000 * sizes) == pytest.approx(size_gini(sizes))
