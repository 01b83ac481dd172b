"""The probabilities of better, equivalent and worse: by hand with three seeds, and by draws of the posterior."""

from __future__ import annotations

import math

import numpy as np
import pytest

from federated.report import Report, RunResult, page_html
from federated.report.findings.verdicts import compare_paired
from federated.report.statistics.bayes import chances
from federated.report.text.phrases import chances_table, chances_text

ACCURACY, MSE = "generalisation/test_accuracy", "generalisation/test_mse"


def below(t: float) -> float:
    """The distribution function of t with two degrees of freedom, which has a closed form."""
    return 0.5 + t / (2 * math.sqrt(2 + t * t))


def test_three_seeds_by_hand() -> None:
    """Differences 1, 2, 3: their mean is 2, and its standard error 1 / sqrt(3)."""
    found = chances(np.array([1.0, 2.0, 3.0]), 1.0)
    assert found is not None
    assert found.better == pytest.approx(below(math.sqrt(3)))
    assert found.worse == pytest.approx(below(-3 * math.sqrt(3)))
    assert sum(found) == pytest.approx(1)


def test_correlated_folds_spread_as_benavoli_and_others_say() -> None:
    """The worked example in the tests of their library: variance 16 (1/3 + 1/2), where rho is a third."""
    found = chances(np.array([1.0, 5.0, -3.0]), 2.0, correlation=1 / 3)
    assert found is not None
    scale = math.sqrt(16 * (1 / 3 + 1 / 2))
    assert found.better == pytest.approx(1 - below((2 - 1) / scale))
    assert found.worse == pytest.approx(below((-2 - 1) / scale))


def test_the_posterior_is_that_of_a_normal_mean_with_unknown_variance() -> None:
    gains, numbers = np.array([0.02, 0.03, -0.01, 0.025, 0.005, 0.012]), np.random.default_rng(0)
    found = chances(gains, 0.01)
    variances = gains.var(ddof=1) * (len(gains) - 1) / numbers.chisquare(len(gains) - 1, 400_000)
    means = numbers.normal(gains.mean(), np.sqrt(variances / len(gains)))
    drawn = ((means > 0.01).mean(), (np.abs(means) <= 0.01).mean(), (means < -0.01).mean())
    assert found == pytest.approx(drawn, abs=0.004)


@pytest.mark.parametrize("gains", [[], [0.1], [0.1, 0.1, 0.1], [0.1, math.nan]])
def test_without_a_spread_nothing_is_said(gains: list[float]) -> None:
    assert chances(np.array(gains), 0.01) is None


def runs(metric: str = ACCURACY) -> list[RunResult]:
    scores = {"base": (0.5, 0.52, 0.48, 0.51), "ahead": (0.61, 0.6, 0.6, 0.63)}
    return [
        RunResult("s", arm, seed, "FINISHED", {}, ((1, {metric: score}),), metric)
        for arm, each in scores.items()
        for seed, score in enumerate(each)
    ]


def test_better_is_less_of_an_error() -> None:
    (more,), (less,) = compare_paired(runs()), compare_paired(runs(MSE))
    assert more.chances is not None
    assert less.chances is not None
    assert more.chances.better > 0.98
    assert (less.chances.worse, less.chances.better) == pytest.approx(
        (more.chances.better, more.chances.worse)
    )


def test_ranks_and_arms_without_common_seeds_have_none() -> None:
    (robust,) = compare_paired(runs(), robust=True)
    assert robust.chances is None
    assert chances_text(robust) == "–"
    assert chances_table([robust]) is None


def test_they_stand_beside_the_verdict_with_what_they_assume() -> None:
    (pair,) = compare_paired(runs())
    table = chances_table([pair])
    assert table is not None
    assert table.rows[0][2] == chances_text(pair)
    assert "not for other data" in table.note
    page = page_html(Report("s", runs()), {})
    assert chances_text(pair) in page
    assert "Better / equivalent / worse" in page
