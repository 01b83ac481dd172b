"""Banded Toeplitz matrices, against the matrices themselves, every way of taking part, and jax-privacy's optimum."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from federated.privacy.matrix.toeplitz import (
    optimal_column,
    prefix_errors,
    root_of_prefix_sums,
    sensitivity,
)


def matrix(column: np.ndarray, rounds: int) -> np.ndarray:
    """C itself."""
    rows = np.zeros((rounds, rounds))
    for lag, value in enumerate(column[:rounds]):
        rows += value * np.eye(rounds, k=-lag)
    return rows


def test_the_root_of_the_prefix_sums() -> None:
    """Oracle: 1, 1/2, 3/8, 5/16, 35/128, ... ; C C = A; the inverse's entries are 1, -1/2, -1/8, -1/16, -5/128, ..."""
    root = root_of_prefix_sums(8)
    assert root[:5].tolist() == [1, 1 / 2, 3 / 8, 5 / 16, 35 / 128]
    assert np.allclose(matrix(root, 8) @ matrix(root, 8), np.tril(np.ones((8, 8))))
    inverse = np.linalg.inv(matrix(root, 8))[:, 0]
    assert inverse[:5] == pytest.approx([1, -1 / 2, -1 / 8, -1 / 16, -5 / 128])


@pytest.mark.parametrize(("rounds", "expected"), [(8, 1.310869658), (2000, 1.866997178)])
def test_the_sensitivity_of_the_root_to_one_participation(rounds: int, expected: float) -> None:
    assert sensitivity(root_of_prefix_sums(rounds), rounds, 1, 1) == pytest.approx(expected, abs=1e-9)


def test_the_largest_error_of_a_prefix_sum_against_independent_noise() -> None:
    """Oracle: jax-privacy's, and the root of 8."""
    assert prefix_errors(root_of_prefix_sums(8), 8).max() == pytest.approx(1.718379, abs=1e-6)
    assert prefix_errors(np.ones(1), 8).max() == pytest.approx(8**0.5)


@pytest.mark.parametrize("bands", [1, 3, 8])
def test_errors_of_prefix_sums_are_the_row_norms_of_the_matrix(bands: int) -> None:
    column = root_of_prefix_sums(bands)
    rows = np.tril(np.ones((8, 8))) @ np.linalg.inv(matrix(column, 8)) * np.linalg.norm(column)
    assert prefix_errors(column, 8) == pytest.approx(np.linalg.norm(rows, axis=1))


@pytest.mark.parametrize("separation", [1, 2, 3, 5])
@pytest.mark.parametrize("participations", [1, 2, 4])
@pytest.mark.parametrize("bands", [1, 3, 9])
def test_no_way_of_taking_part_moves_more(bands: int, participations: int, separation: int) -> None:
    """Oracle: all sets of rounds that keep the separation, with the same update in each."""
    rounds, column = 9, optimal_column(9, bands)
    columns = matrix(column, rounds)
    worst = max(
        np.linalg.norm(columns[:, list(chosen)].sum(axis=1))
        for count in range(1, participations + 1)
        for chosen in combinations(range(rounds), count)
        if (np.diff(chosen) >= separation).all()
    )
    assert sensitivity(column, rounds, participations, separation) == pytest.approx(worst)


def test_turns_further_apart_than_the_bands_are_orthogonal() -> None:
    column = optimal_column(100, 8)
    assert sensitivity(column, 100, 10, 8) == pytest.approx(10**0.5)
    assert sensitivity(column, 100, 10, 7) > 10**0.5


def test_a_rising_column_has_no_such_bound() -> None:
    with pytest.raises(ValueError, match="must not rise"):
        sensitivity(np.array([1.0, 2.0]), 4, 1, 1)


def test_the_optimum_is_that_of_jax_privacy() -> None:
    """Oracle: jax_privacy.matrix_factorization.toeplitz.optimize_banded_toeplitz(100, bands=16), scaled to norm 1."""
    column = optimal_column(100, 16)
    assert column[:4] == pytest.approx([0.6442133, 0.35490552, 0.28219858, 0.24495359], abs=2e-7)
    assert np.linalg.norm(column) == pytest.approx(1)


@pytest.mark.parametrize(("rounds", "bands"), [(100, 16), (1000, 4), (20, 10)])
def test_no_column_nearby_has_less_error(rounds: int, bands: int) -> None:
    best = np.mean(prefix_errors(optimal_column(rounds, bands), rounds) ** 2)
    numbers = np.random.default_rng(0)
    for size in (1e-3, 1e-2):
        nearby = optimal_column(rounds, bands) + size * numbers.standard_normal(bands)
        assert np.mean(prefix_errors(nearby, rounds) ** 2) > best
    assert best < np.mean(prefix_errors(root_of_prefix_sums(bands), rounds) ** 2)


def test_more_bands_than_rounds_are_as_many_as_rounds() -> None:
    assert len(optimal_column(5, 16)) == 5
    assert optimal_column(5, 1).tolist() == [1.0]
