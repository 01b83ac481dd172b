"""Intervals over clients: Student's for equal sizes, coverage by simulation, none for too few."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from benchmarks.rates import coverage
from federated.foundation.randomness import Purpose, generator
from federated.metrics.client_intervals import ClientSums, _estimates, _freedom
from federated.metrics.gaps import Gap, mean_over_clients, out_of_sample_gap, participation_gap

NUMBERS = generator(0, Purpose.EVALUATION)


def of(values: np.ndarray, sizes: np.ndarray | None = None) -> ClientSums:
    sizes = np.full(len(values), 10) if sizes is None else sizes
    return ClientSums(values * sizes, sizes)


def holds(gap: Gap, low: float, high: float) -> bool:
    return gap.low is not None and gap.high is not None and gap.low <= low and gap.high >= high


def test_with_equal_sizes_it_holds_students_interval() -> None:
    """scipy's one-sample interval and statsmodels' Welch interval are the oracles."""
    mine, theirs = np.random.default_rng(0).beta(8, 2, (2, 12))
    low, high = stats.t.interval(0.95, 11, mine.mean(), stats.sem(mine))
    gap = mean_over_clients(mine, NUMBERS)
    assert gap.value == pytest.approx(mine.mean())
    assert holds(gap, low + 1e-9, high - 1e-9)
    assert gap.high is not None
    assert gap.low is not None
    assert gap.high - gap.low < 1.4 * (high - low)  # and not much more where gains are not skewed much
    welch = CompareMeans(DescrStatsW(mine), DescrStatsW(theirs)).tconfint_diff(usevar="unequal")
    assert holds(participation_gap(of(mine), of(theirs), 1, NUMBERS), welch[0] + 1e-9, welch[1] - 1e-9)
    assert holds(participation_gap(of(mine), of(theirs), -1, NUMBERS), -welch[1] + 1e-9, -welch[0] - 1e-9)


def test_the_variance_is_unbiased_whatever_the_sizes() -> None:
    """Of the weighted mean of clients alike in spread: the sum of the squared weights, in the mean."""
    sizes = np.array([1.0, 2.0, 5.0, 20.0, 40.0])
    numbers, weights = np.random.default_rng(1), sizes / sizes.sum()
    found = [
        _estimates((of(numbers.standard_normal(5), sizes), None), np.ones((1, 5))).variance[0]
        for _ in range(4000)
    ]
    assert np.mean(found) == pytest.approx(
        (weights**2).sum(), rel=4 * np.std(found) / np.mean(found) / 4000**0.5
    )


def test_the_degrees_of_freedom_are_those_of_the_quadratic_form() -> None:
    assert _freedom(np.full(7, 1 / 7)) == pytest.approx(6)
    weights = np.random.default_rng(2).dirichlet(np.ones(6))
    residuals = np.eye(6) - np.outer(np.ones(6), weights)
    form = residuals.T @ np.diag(weights**2 / (1 - 2 * weights + (weights**2).sum())) @ residuals
    assert _freedom(weights) == pytest.approx(np.trace(form) ** 2 / np.trace(form @ form))


@pytest.mark.parametrize("clients", [2, 3, 4])
def test_few_clients_have_no_interval(clients: int) -> None:
    few, many = of(np.linspace(0.5, 0.9, clients)), of(np.linspace(0.4, 0.8, 9))
    assert participation_gap(many, few, 1, NUMBERS)[1:] == (None, None)
    assert mean_over_clients(few.sums, NUMBERS)[1:] == (None, None)
    assert mean_over_clients(many.sums, NUMBERS).low is not None


def test_clients_without_examples_do_not_count() -> None:
    values, sizes = np.linspace(0.4, 0.8, 9), np.array([10] * 4 + [0] * 5)
    assert participation_gap(of(values), ClientSums(values * sizes, sizes), 1, NUMBERS).low is None


def test_clients_that_are_alike_or_one_that_holds_all_have_no_interval() -> None:
    # The same gap of 0.25 with every client: no spread to estimate an error from.
    training, held_out = of(np.array([1.0, 0.5, 0.9, 0.8, 0.7])), of(np.array([0.75, 0.25, 0.65, 0.55, 0.45]))
    gap = out_of_sample_gap(training, held_out, 1, NUMBERS)
    assert gap == (pytest.approx(0.25), None, None)
    # One of twenty gains: a resample has it not at all in 36 % of cases.
    assert mean_over_clients(np.eye(20)[0], NUMBERS) == (pytest.approx(0.05), None, None)
    sizes = np.array([1, 1, 1, 1, 10_000])
    assert out_of_sample_gap(of(np.linspace(0, 1, 5), sizes), of(np.zeros(5), sizes), 1, NUMBERS).low is None


@pytest.mark.slow
@pytest.mark.parametrize("sizes", ["equal", "unequal"])
@pytest.mark.parametrize("law", ["normal", "accuracies (beta)", "skewed (exponential)"])
@pytest.mark.parametrize(
    "clients", [5, *(pytest.param(clients, marks=pytest.mark.nightly) for clients in (10, 20))]
)
def test_intervals_hold_the_truth_at_about_their_rate(clients: int, law: str, sizes: str) -> None:
    """The percentile interval holds it in 84 % of cases with five clients and in 89 % with ten."""
    studies = 150
    found = coverage(clients, sizes, law, studies)
    assert set(found) == {"out-of-sample gap", "participation gap", "gain"}
    for rate, counted in found.values():
        assert counted > 0.9 * studies
        assert rate > 0.94 - 3 * np.sqrt(0.94 * 0.06 / counted)
