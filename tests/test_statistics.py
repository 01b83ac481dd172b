"""Paired statistics: hand-worked cases, a published example, and rates that simulation has to meet."""

import gc
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats

from federated.report.statistics.paired import (
    difference_p,
    equivalence_p,
    holm,
    rank_p,
    sign_p,
    t_interval,
    within,
)

SIMULATIONS = 500
ERROR = 3 * np.sqrt(0.05 * 0.95 / SIMULATIONS)
"""Three standard errors of a rate of 5 % that is estimated by simulation."""


def simulated(effect: float, seeds: int) -> np.ndarray:
    """Differences [SIMULATIONS, seeds] of two arms that share what their seed does to both."""
    numbers = np.random.default_rng(seeds)
    shared = 0.9 + 0.05 * numbers.standard_normal((SIMULATIONS, seeds))
    own = 0.005 * numbers.standard_normal((2, SIMULATIONS, seeds))
    return np.asarray((shared + effect + own[0]) - (shared + own[1]))


def test_an_interval_worked_by_hand() -> None:
    # mean 2, sample deviation 1, standard error 1/sqrt(3), t(0.975, 2) = 4.302653 from any table
    interval = t_interval(np.array([1.0, 2.0, 3.0]))
    assert interval is not None
    assert interval.low == pytest.approx(2 - 4.302653 / np.sqrt(3), abs=1e-6)
    assert interval.high == pytest.approx(2 + 4.302653 / np.sqrt(3), abs=1e-6)


@pytest.mark.parametrize("values", [[], [0.9], [0.5, 0.5, 0.5], [0.9 - 0.8, 0.8 - 0.7], [0.1, np.nan]])
def test_without_a_spread_there_is_no_interval(values: list[float]) -> None:
    assert t_interval(np.array(values)) is None


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_intervals_cover_a_known_effect_at_their_rate(seeds: int) -> None:
    intervals = [t_interval(row) for row in simulated(0.02, seeds)]
    covered = np.mean(
        [interval is not None and interval.low <= 0.02 <= interval.high for interval in intervals]
    )
    assert abs(covered - 0.95) < ERROR


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_no_effect_is_called_one_at_the_stated_rate(seeds: int) -> None:
    rejected = np.mean([difference_p(row) < 0.05 for row in simulated(0.0, seeds)])
    assert abs(rejected - 0.05) < ERROR


def test_a_difference_of_delta_is_called_none_at_the_stated_rate_at_most() -> None:
    rejected = np.mean([equivalence_p(row, 0.01) < 0.05 for row in simulated(0.01, 5)])
    assert rejected < 0.05 + ERROR
    assert np.mean([equivalence_p(row, 0.02) < 0.05 for row in simulated(0.0, 10)]) > 0.95


def test_tests_are_those_of_scipy_on_two_paired_samples() -> None:
    first, second = np.random.default_rng(0).standard_normal((2, 8))
    assert difference_p(first - second) == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert rank_p(first - second) == pytest.approx(stats.wilcoxon(first, second).pvalue)


def test_equivalence_worked_by_hand() -> None:
    # mean 0, standard error 1/sqrt(3): both one-sided t are 4 sqrt(3) on 2 degrees of freedom
    assert equivalence_p(np.array([-1.0, 0.0, 1.0]), 4.0) == pytest.approx(stats.t.sf(4 * np.sqrt(3), 2))


def test_exact_tests_worked_by_hand() -> None:
    assert sign_p(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 0.0])) == pytest.approx(2 / 2**5)  # the zero is left out
    assert sign_p(np.zeros(3)) == 1.0
    assert rank_p(np.arange(1.0, 7.0)) == pytest.approx(2 / 2**6)
    # ranks 1 to 4 signed + + + -: of 16 assignments, sums of the negative ranks <= 4 are those of {}, 1, 2, 3,
    # 1+2, 4, 1+3: 7, and as many at the other end
    assert rank_p(np.array([1.0, 2.0, 3.0, -4.0])) == pytest.approx(14 / 16)
    assert rank_p(np.array([1.0, 1.0, 1.0])) == pytest.approx(2 / 2**3)  # tied, so by sign


def test_equal_differences_are_judged_by_counting_and_not_by_a_spread_of_zero() -> None:
    assert difference_p(np.full(3, 0.1)) == pytest.approx(2 / 2**3)
    assert equivalence_p(np.full(5, 0.005), 0.01) == pytest.approx(1 / 2**5)
    assert equivalence_p(np.full(5, 0.05), 0.01) == 1.0
    assert difference_p(np.array([0.3])) == equivalence_p(np.array([0.0]), 0.01) == 1.0


def test_holm_as_published() -> None:
    # p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") in R
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.fixture
def little_garbage() -> Iterator[None]:
    """statsmodels collects garbage in every call, a tenth of a second where much is loaded; nothing is, then."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("little_garbage")
def test_holm_is_that_of_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    for count in (1, 2, 7):
        p_values = np.random.default_rng(count).uniform(0, 0.4, count).round(2)
        assert holm(list(p_values)) == pytest.approx(
            list(multipletests(p_values, method="holm")[1]), abs=1e-15
        )


def test_holm_keeps_the_rate_of_any_false_alarm() -> None:
    numbers = np.random.default_rng(1)
    p_values = stats.ttest_1samp(numbers.standard_normal((SIMULATIONS, 4, 6)), 0, axis=2).pvalue
    alarms = np.mean([min(holm(row)) < 0.05 for row in p_values])
    assert alarms < 0.05 + ERROR
    assert np.mean(p_values.min(axis=1) < 0.05) > 0.05 + ERROR  # what happens without


def test_an_interval_of_a_proportion_ends_where_proportions_do() -> None:
    # mean 0.99, sample deviation 0.01, half 4.302653 * 0.01 / sqrt(3) = 0.024841: up to 1.014841
    interval = within(t_interval(np.array([0.98, 0.99, 1.0])), (0.0, 1.0))
    assert interval == (pytest.approx(0.99 - 0.0248414, abs=1e-6), 1.0)
    assert within(t_interval(np.array([0.0, 0.01, 0.02])), (0.0, 1.0)) == (
        0.0,
        pytest.approx(0.0348414, abs=1e-6),
    )
    inside = t_interval(np.array([0.4, 0.5, 0.6]))
    assert within(inside, (0.0, 1.0)) == inside
    assert within(None, (0.0, 1.0)) is None


def test_a_cut_interval_covers_the_mean_of_proportions_as_often_as_the_whole_one() -> None:
    """Accuracies of 200 examples near 1, seeds of their own: scipy's interval, uncut, is the oracle."""
    numbers, cut, missed = np.random.default_rng(3), 0, 0
    for _ in range(SIMULATIONS):
        scores = numbers.binomial(200, 0.98, 4) / 200
        interval = within(t_interval(scores), (0.0, 1.0))
        if interval is None:
            continue
        low, high = stats.t.interval(0.95, 3, scores.mean(), stats.sem(scores))
        assert (interval.low <= 0.98 <= interval.high) == (low <= 0.98 <= high)
        assert 0 <= interval.low <= scores.mean() <= interval.high <= 1
        cut, missed = cut + (high > 1), missed + (not low <= 0.98 <= high)
    assert cut > SIMULATIONS / 10
    assert missed < SIMULATIONS * (0.05 + ERROR)
