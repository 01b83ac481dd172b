"""The measures of label skew and of sizes against scipy and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from data_partitioners import Partition
from data_partitioners.heterogeneity import Fingerprint, binned_targets, label_counts, label_fingerprint
from data_partitioners.heterogeneity.divergence import pairwise_hellinger
from data_partitioners.heterogeneity.label_skew import MOST_PAIRED, client_label_measures
from data_partitioners.heterogeneity.sizes import size_gini, size_variation

TWO_PURE = np.array([[6, 0], [0, 6]])


def fingerprint(counts: np.ndarray) -> Fingerprint:
    return label_fingerprint(counts, np.random.default_rng(0))


def value(counts: np.ndarray, name: str) -> float:
    return fingerprint(counts).measures[name].value


def some_counts(seed: int) -> np.ndarray:
    numbers = np.random.default_rng(seed)
    counts = numbers.poisson(numbers.gamma(0.3, 20, size=(7, 5)))
    counts[:, 0] += 1
    return counts


@pytest.mark.parametrize("seed", range(10))
def test_each_clients_measures_are_those_of_scipy_client_by_client(seed: int) -> None:
    counts = some_counts(seed)
    pooled = counts.sum(axis=0) / counts.sum()
    measures = client_label_measures(counts)
    for client, row in enumerate(counts):
        mix = row / row.sum()
        expected = {
            "label_jensen_shannon_bits": jensenshannon(mix, pooled, base=2) ** 2,
            "label_hellinger": np.linalg.norm(np.sqrt(mix) - np.sqrt(pooled)) / np.sqrt(2),
            "label_total_variation": np.abs(mix - pooled).sum() / 2,
            "label_entropy_bits": entropy(mix, base=2),
            "effective_classes": np.exp(entropy(mix)),
        }
        assert {name: values[client] for name, values in measures.items()} == pytest.approx(
            expected, abs=1e-9
        )


def test_summaries_are_the_mean_the_mean_weighted_by_size_and_the_maximum() -> None:
    counts = some_counts(3)
    by_client = client_label_measures(counts)["label_hellinger"]
    measures = fingerprint(counts).measures
    assert measures["label_hellinger_mean"].value == pytest.approx(by_client.mean())
    assert measures["label_hellinger_max"].value == pytest.approx(by_client.max())
    weighted = np.average(by_client, weights=counts.sum(axis=1))
    assert measures["label_hellinger_weighted_mean"].value == pytest.approx(weighted)


def test_two_clients_of_one_class_each_have_the_values_worked_by_hand() -> None:
    """Mixes (1, 0) and (1/2, 1/2): H(3/4, 1/4) - 1/2 bits; 1 - sqrt(1/2) is the squared Hellinger distance."""
    assert value(TWO_PURE, "label_jensen_shannon_bits_mean") == pytest.approx(1.5 - 0.75 * np.log2(3))
    assert value(TWO_PURE, "label_hellinger_mean") == pytest.approx(np.sqrt(1 - np.sqrt(0.5)))
    assert value(TWO_PURE, "label_total_variation_mean") == pytest.approx(0.5)
    assert value(TWO_PURE, "label_pairwise_hellinger_max") == pytest.approx(1.0)
    assert value(TWO_PURE, "effective_classes_mean") == 1.0


def test_equal_mixes_have_no_divergence_whatever_the_sizes() -> None:
    for counts in ([[1, 2, 3], [10, 20, 30], [2, 4, 6]], [[1, 3], [3, 9], [7, 21]]):
        measures = fingerprint(np.array(counts)).measures
        far = [m.value for name, m in measures.items() if name.startswith("label_") and "entropy" not in name]
        assert far == pytest.approx([0.0] * len(far), abs=1e-7)
        assert min(far) >= 0


def test_divergence_stays_below_one_bit_and_grows_with_the_number_of_pure_clients() -> None:
    values = [
        value(10 * np.eye(number, dtype=int), "label_jensen_shannon_bits_mean") for number in (2, 5, 50, 200)
    ]
    assert values == sorted(values)
    assert 0.96 < values[-1] < 1


def test_empty_clients_have_no_measures_and_change_none() -> None:
    counts = np.array([[3, 1, 0], [0, 2, 5]])
    padded = np.array([[0, 0, 0], [3, 1, 0], [0, 0, 0], [0, 2, 5]])
    assert fingerprint(padded).measures == fingerprint(counts).measures
    known = ~np.isnan(fingerprint(padded).by_client["label_hellinger"])
    assert known.tolist() == [False, True, False, True]


def test_one_client_alone_is_the_pool() -> None:
    measures = fingerprint(np.array([[3, 4]])).measures
    assert measures["label_hellinger_mean"] == (0, 0, 0)
    assert "label_pairwise_hellinger_mean" not in measures


def test_pairs_are_those_of_a_loop() -> None:
    mixes = some_counts(1) / some_counts(1).sum(axis=1, keepdims=True)
    expected = [
        np.linalg.norm(np.sqrt(mixes[i]) - np.sqrt(mixes[j])) / np.sqrt(2)
        for i in range(7)
        for j in range(i + 1, 7)
    ]
    assert pairwise_hellinger(mixes) == pytest.approx(expected, abs=1e-7)


def test_of_many_clients_some_are_paired() -> None:
    """All alike but one: whether the mean over pairs sees it depends on the draw, never the number of pairs."""
    counts = np.tile([5, 5], (MOST_PAIRED * 3, 1))
    counts[::2] = [10, 0]
    apart = np.sqrt(1 - np.sqrt(0.5))
    pairs = MOST_PAIRED * (MOST_PAIRED - 1) / 2
    mixed = value(counts, "label_pairwise_hellinger_mean") / apart * pairs
    pure = [k for k in range(MOST_PAIRED) if k * (MOST_PAIRED - k) == round(mixed)]
    assert mixed == pytest.approx(round(mixed), abs=1e-3)
    assert pure


def test_label_counts_are_those_of_a_loop() -> None:
    labels = np.array([2, 0, 1, 1, 2, 2, 0])
    held = (np.array([0, 4, 1]), np.array([], np.int64), np.array([3]))
    counts = label_counts(labels, Partition(held, ("a", "b", "c")), 4)
    assert counts.tolist() == [[1, 0, 2, 0], [0, 0, 0, 0], [0, 1, 0, 0]]


def test_bins_are_equally_full_and_keep_equal_targets_together() -> None:
    bins, names = binned_targets(np.random.default_rng(0).standard_normal(1000))
    assert np.bincount(bins).tolist() == [100] * 10
    assert len(names) == 10
    bins, names = binned_targets(np.array([0.0, 0.0, 0.0, 0.0, 7.0]))
    assert bins.tolist() == [0, 0, 0, 0, 1]
    assert names == ("from 0", "from 7")
    assert binned_targets(np.full(5, 3.0))[1] == ("from 3",)


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


def test_the_variation_of_sizes_worked_by_hand() -> None:
    assert size_variation(np.array([1, 3])) == pytest.approx(1 / 2)
    assert size_variation(np.array([0, 0, 0, 12])) == pytest.approx(np.sqrt(3))
