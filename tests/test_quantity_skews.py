"""The laws of sizes, against theory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from data_partitioners import Pool
from data_partitioners.assignment import apportioned
from data_partitioners.log_normal_sizes import log_normal_sizes
from data_partitioners.power_law_sizes import power_law_sizes
from data_partitioners.quantity_dirichlet import quantity_dirichlet
from data_partitioners.sizes import sizes


def drawn(skew: Any, total: int, clients: int, seed: int = 0) -> np.ndarray:
    found: np.ndarray = skew(Pool(total), clients, np.random.default_rng(seed)).sizes
    return found


def law_of(skew: Any, total: int, clients: int, seed: int = 0) -> np.ndarray:
    """The sizes that `drawn` finds, by the law alone: to deal ten million examples takes seconds."""
    (numbers,) = np.random.default_rng(seed).spawn(1)
    found: np.ndarray = skew.sizes(total, clients, numbers)
    return found


def test_a_partition_has_the_sizes_of_its_law() -> None:
    for skew in (log_normal_sizes(0.7), quantity_dirichlet(0.5)):
        assert law_of(skew, 5000, 20, 4).tolist() == drawn(skew, 5000, 20, 4).tolist()


@pytest.mark.parametrize(
    ("law", "expected"),
    [("linear", [10, 20, 30, 40]), ("square", [3, 13, 30, 54]), ((7, 0, 90, 3), [7, 0, 90, 3])],
)
def test_sizes_follow_their_law(law: Any, expected: list[int]) -> None:
    assert drawn(sizes(law), 100, 4).tolist() == expected


def test_an_exponential_law_multiplies_by_e_from_client_to_client_however_many() -> None:
    found = drawn(sizes("exponential"), 10**6, 5)
    assert np.allclose(found[1:] / found[:-1], np.e, rtol=1e-3)
    assert drawn(sizes("exponential"), 1000, 900).sum() == 1000


@pytest.mark.parametrize(
    ("law", "message"),
    [((1, 2), "lists 2 sizes for 3 clients"), ((50, 50, 1), "adds up to 101 examples, there are 100")],
)
def test_sizes_that_do_not_fit(law: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        drawn(sizes(law), 100, 3)


@pytest.mark.parametrize("law", [(), (0, 0), (3, -1)])
def test_sizes_that_are_none(law: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="law must list sizes >= 0"):
        sizes(law)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 20.0])
def test_shares_of_the_whole_have_the_mean_and_variance_of_a_dirichlet(alpha: float) -> None:
    clients, total, draws = 5, 10_000, 1000
    shares = (
        np.stack([law_of(quantity_dirichlet(alpha), total, clients, seed) for seed in range(draws)]) / total
    )
    variance = (clients - 1) / (clients**2 * (clients * alpha + 1))
    squares = (shares - 1 / clients) ** 2
    assert np.all(np.abs(shares.mean(axis=0) - 1 / clients) < 5 * np.sqrt(variance / draws))
    assert np.all(np.abs(squares.mean(axis=0) - variance) < 5 * squares.std(axis=0) / np.sqrt(draws))


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_logarithms_of_sizes_are_normal(sigma: float) -> None:
    found = law_of(log_normal_sizes(sigma), 10**7, 2000)
    logs = np.log(found)
    assert stats.kstest((logs - logs.mean()) / logs.std(), stats.norm.cdf).pvalue > 1e-4
    assert logs.std() == pytest.approx(sigma, rel=5 / np.sqrt(2 * 2000))


def test_the_variation_of_log_normal_sizes_is_what_the_docstring_says() -> None:
    found = law_of(log_normal_sizes(0.5), 10**7, 5000)
    assert found.std() / found.mean() == pytest.approx(np.sqrt(np.exp(0.25) - 1), rel=0.1)


def test_a_power_law_falls_with_its_exponent() -> None:
    found = drawn(power_law_sizes(2.0), 10**6, 10)
    assert np.allclose(found[0] / found, np.arange(1, 11) ** 2.0, rtol=1e-3)
    assert drawn(power_law_sizes(0.0), 103, 10).tolist() == [11] * 3 + [10] * 7


@pytest.mark.parametrize("law", [quantity_dirichlet, log_normal_sizes, power_law_sizes])
def test_a_minimum_size_comes_first_and_the_law_shares_out_the_rest(law: Any) -> None:
    free, least = drawn(law(0.7), 600, 10, 3), drawn(law(0.7, min_size=40), 1000, 10, 3)
    assert least.tolist() == (40 + free).tolist()
    with pytest.raises(
        ValueError, match=r"min_size 11 for 10 clients needs 110 examples, there are 100; at most 10"
    ):
        drawn(law(0.7, min_size=11), 100, 10)
    with pytest.raises(ValueError, match="min_size must be >= 0, got -1"):
        law(0.7, min_size=-1)


@pytest.mark.parametrize("law", [log_normal_sizes, power_law_sizes, quantity_dirichlet])
@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")])
def test_a_law_needs_a_finite_number(law: Any, value: float) -> None:
    with pytest.raises(ValueError, match="must be a finite number"):
        law(value)


def test_apportioning_keeps_the_total_the_order_and_each_share_within_one() -> None:
    generator = np.random.default_rng(1)
    for _ in range(200):
        shares = generator.exponential(size=int(generator.integers(1, 30))) ** 3
        total = int(generator.integers(0, 500))
        found = apportioned(shares, total)
        assert found.sum() == total
        assert np.all(np.abs(found - shares / shares.sum() * total) < 1)
        assert np.all(np.diff(found[np.argsort(shares)]) >= 0)
    assert apportioned(np.zeros(3), 5).tolist() == [2, 2, 1]
