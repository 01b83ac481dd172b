"""Shift of features and targets: distances against scipy's, and what they must not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from data_partitioners.heterogeneity import projected, sampled
from data_partitioners.heterogeneity.shift import BINS, DIRECTIONS, binned, wasserstein
from data_partitioners.partition import numbered

OWNERS = np.repeat(np.arange(3), [40, 60, 100])


def standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(axis=0)) / values.std(axis=0)


def by_scipy(values: np.ndarray) -> list[float]:
    """Mean over directions of scipy's distance of each client from all."""
    return [
        float(np.mean([wasserstein_distance(column[client == OWNERS], column) for column in values.T]))
        for client in range(3)
    ]


def test_values_of_few_kinds_have_scipys_distance_exactly() -> None:
    """Where every bin holds one value, binning changes nothing."""
    numbers = np.random.default_rng(0)
    values = numbers.integers(0, 6, (200, 4)).astype(float)
    values[:40] += numbers.integers(0, 3, (40, 4))
    assert wasserstein(binned(values), OWNERS, 3) == pytest.approx(by_scipy(standardised(values)), abs=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.3, 2.0])
def test_other_values_have_scipys_distance_but_for_the_width_of_a_bin(shift: float) -> None:
    values = np.random.default_rng(1).standard_normal((200, 5))
    values[:40] += shift
    assert wasserstein(binned(values), OWNERS, 3) == pytest.approx(by_scipy(standardised(values)), abs=0.02)


def test_a_hand_worked_case() -> None:
    """Halves at 0 and 2 (deviation 1): each is at distance 1 from the pool, whose other half is 2 away."""
    values = np.repeat([0.0, 2.0], 100)[:, None]
    assert wasserstein(binned(values), np.repeat([0, 1], 100), 2) == pytest.approx([1.0, 1.0])


def test_unit_and_origin_do_not_matter_and_a_constant_is_no_shift() -> None:
    values = np.random.default_rng(2).standard_normal((200, 2))
    as_they_are = wasserstein(binned(values), OWNERS, 3)
    assert wasserstein(binned(1000 * values - 5), OWNERS, 3) == pytest.approx(as_they_are)
    assert wasserstein(binned(np.full((200, 2), 7.0)), OWNERS, 3).tolist() == [0, 0, 0]


def test_every_bin_of_distinct_values_is_equally_full() -> None:
    cells = binned(np.random.default_rng(0).standard_normal((BINS * 5, 1))).cells
    assert np.bincount(cells.ravel()).tolist() == [5] * BINS


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_projections_are_those_of_the_flat_rows_however_many_at_a_time(
    dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = np.random.default_rng(0).integers(0, 255, (50, 3, 4)).astype(dtype)
    rows = np.array([4, 7, 7, 30, 2])
    whole = projected(features, rows, np.random.default_rng(1))
    assert whole.shape == (5, DIRECTIONS)
    assert np.array_equal(whole[1], whole[2])
    monkeypatch.setattr("data_partitioners.heterogeneity.shift._NUMBERS_AT_A_TIME", 12 * 2)
    assert projected(features, rows, np.random.default_rng(1)) == pytest.approx(whole, rel=1e-5)


def test_directions_have_unit_length() -> None:
    unit = projected(np.eye(20, dtype=np.float32), np.arange(20), np.random.default_rng(1))
    assert np.linalg.norm(unit, axis=0) == pytest.approx(np.ones(DIRECTIONS), rel=1e-5)


def test_a_single_feature_is_taken_as_it_is() -> None:
    features = np.arange(5, dtype=np.float32)[:, None]
    assert projected(features, np.array([3, 1]), np.random.default_rng(0)).tolist() == [[3], [1]]


def test_a_sample_is_of_every_client_as_much_as_of_another() -> None:
    partition = numbered([np.arange(100), np.arange(100, 103), np.arange(0), np.arange(103, 900)])
    examples, owners = sampled(partition, 60, np.random.default_rng(0))
    assert np.bincount(owners).tolist() == [20, 3, 0, 20]
    assert len(set(examples.tolist())) == 43
    assert all(example in partition.indices[client] for example, client in zip(examples, owners, strict=True))


def test_a_sample_is_everything_where_that_is_little_enough() -> None:
    partition = numbered([np.arange(5), np.arange(5, 12)])
    examples, _ = sampled(partition, 100, np.random.default_rng(0))
    assert sorted(examples.tolist()) == list(range(12))


def test_of_many_clients_some_are_sampled_any_of_them() -> None:
    partition = numbered(np.split(np.arange(1000), 100))
    chosen = [set(sampled(partition, 320, np.random.default_rng(seed))[1].tolist()) for seed in range(40)]
    assert {len(clients) for clients in chosen} == {20}
    assert len(set.union(*chosen)) > 95


def test_each_example_of_a_client_is_sampled_equally_often() -> None:
    partition = numbered([np.arange(10), np.arange(10, 20)])
    seen = np.zeros(20)
    for seed in range(2000):
        examples, _ = sampled(partition, 32, np.random.default_rng(seed))
        seen[examples] += 1
    assert (seen == 2000).all()
    few = numbered([np.arange(40), np.arange(40, 80)])
    counts = np.bincount(
        np.concatenate([sampled(few, 32, np.random.default_rng(seed))[0] for seed in range(1000)]),
        minlength=80,
    )
    assert abs(counts - 400).max() < 5 * np.sqrt(1000 * 0.4 * 0.6)
