"""Ranks for seeds of which some fail: R's intervals, scipy's p, rates by simulation, and seeds that are named."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from federated.report import Report, RunResult
from federated.report.findings.phrases import difference_text
from federated.report.findings.verdicts import compare_paired, paired_table
from federated.report.statistics.by_ranks import (
    RankedScores,
    _signed_rank_law,
    hodges_lehmann,
    outlying,
    rank_interval,
)
from federated.report.statistics.paired import LEVEL
from federated.report.statistics.two_arms import judged
from federated.study.comparison import Comparison
from federated.study.looks import Looks

ACCURACY = "generalisation/test_accuracy"


def arms(shifts: list[float], **changes: object) -> Report:
    scores = 0.8 + 0.02 * np.random.default_rng(0).standard_normal(len(shifts))
    results = tuple(
        RunResult("s", name, seed, "FINISHED", {}, ((1, {ACCURACY: float(value)}),), ACCURACY)
        for name, values in (("plain", scores), ("other", scores + shifts))
        for seed, value in enumerate(values)
    )
    return Report("s", results, **changes)  # type: ignore[arg-type]


def test_the_law_of_signed_ranks_by_counting() -> None:
    # of 2^3 assignments of ranks 1, 2, 3: sums 0, 1, 2, 3 (twice), 4, 5, 6
    assert _signed_rank_law(3).tolist() == [1 / 8, 1 / 8, 1 / 8, 2 / 8, 1 / 8, 1 / 8, 1 / 8]


def test_intervals_worked_by_hand() -> None:
    # 6 values: 2 / 64 = 3.1 % is less than 5 %, so all of the 21 means are inside; with 5 it is 6.2 %
    assert rank_interval(np.arange(1.0, 7.0), LEVEL) == (1.0, 6.0)
    assert rank_interval(np.arange(1.0, 6.0), LEVEL) is None
    # 10 values: qsignrank(0.025, 10) is 9 in R, P(V <= 8) = 0.0244: the 9th of the 55 means from either end
    values = np.arange(1.0, 11.0) ** 2
    means = np.sort([(a + b) / 2 for at, a in enumerate(values) for b in values[at:]])
    assert rank_interval(values, LEVEL) == (means[8], means[-9])


def test_the_interval_holds_what_wilcoxons_test_does_not_reject() -> None:
    values = np.random.default_rng(1).standard_normal(12)
    ends = rank_interval(values, LEVEL)
    assert ends is not None
    for middle, inside in ((ends.low + 1e-6, True), (ends.low - 1e-6, False), (ends.high + 1e-6, False)):
        assert (stats.wilcoxon(values - middle, method="exact").pvalue > 0.05) == inside


@pytest.mark.parametrize("seeds", [6, 10, 20])
def test_rates_are_kept_where_seeds_fail(seeds: int) -> None:
    """Either arm loses half of its accuracy with one seed in ten."""
    numbers, held, rejected = np.random.default_rng(seeds), 0, 0
    for _ in range(300):
        failed = (numbers.random((2, seeds)) < 0.1) * 0.5
        differences = failed[0] - failed[1] + 0.02 * numbers.standard_normal(seeds)
        ends = rank_interval(differences, LEVEL)
        held += ends is not None and ends.low <= 0 <= ends.high
        rejected += RankedScores(differences).p < 0.05
    assert held / 300 > 0.95 - 3 * (0.05 * 0.95 / 300) ** 0.5
    assert rejected / 300 < 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


def test_a_failed_seed_hides_a_difference_from_t_and_not_from_ranks() -> None:
    shifts = [0.05 + at / 10_000 for at in range(19)] + [-0.6]
    by_t, by_ranks = (arms(shifts, robust=robust) for robust in (False, True))
    assert by_t.pairs[0].verdict == "inconclusive"
    assert by_ranks.pairs[0].verdict == "better"
    assert by_ranks.pairs[0].p == pytest.approx(stats.wilcoxon(shifts, method="exact").pvalue / 0.2)
    said = "Far from the other seeds, where t intervals and tests are not to be trusted: other (seed 19); "
    assert any(each.startswith(said) for each in by_t.verdict)
    assert not any("Far from" in each for each in by_ranks.verdict)


def test_a_failed_seed_that_turns_the_mean_round_turns_no_direction() -> None:
    shifts = [0.02 + at / 10_000 for at in range(19)] + [-0.6]
    assert np.mean(shifts) < 0
    report = arms(shifts, robust=True)
    pair = report.pairs[0]
    assert pair.interval is not None
    assert pair.estimate is not None
    assert (pair.verdict, pair.interval.low <= pair.estimate <= pair.interval.high) == ("better", True)
    assert paired_table([pair])["difference"] == [pair.estimate]
    assert difference_text(pair).startswith("+0.021 [+0.02")
    assert f"Better than plain: other ({difference_text(pair)})." in report.verdict
    assert {row.arm: row.cells for row in report.ranking}["other"]["difference"] == difference_text(pair)
    turned = compare_paired(arms([-shift for shift in shifts]).results, robust=True)[0]
    assert (turned.verdict, turned.estimate) == ("worse", pytest.approx(-pair.estimate))


def test_the_hodges_lehmann_estimate_by_hand() -> None:
    assert hodges_lehmann(np.array([0.0, 1.0, 11.0])) == 3.25  # of 0, 0.5, 1, 5.5, 6, 11
    assert (
        arms([0.1] * 12 + [0.0] * 38, robust=True).pairs[0].verdict == "inconclusive"
    )  # their estimate is 0


def test_ties_and_equal_differences_are_counted() -> None:
    assert RankedScores(np.full(6, 0.1)).p == pytest.approx(2 / 2**6)
    assert RankedScores(np.array([0.1] * 5 + [0.2])).p == pytest.approx(2 / 2**6)
    assert judged(RankedScores(np.zeros(5)), 0.01, Looks()).same_p == pytest.approx(1 / 32)


def test_what_lies_far_is_named_only_where_it_matters() -> None:
    near = np.array([0.01, 0.012, 0.009, 0.011, 0.010, 0.013])
    assert outlying(near, 0.01) == []
    assert outlying(np.append(near, -0.3), 0.01) == [6]
    assert outlying(np.append(near, 0.018), 0.01) == []  # far for them, but no more than delta
    assert outlying(np.array([0.0, 0.0, 0.0, 0.4]), 0.01) == []


def test_the_interval_is_one_of_two() -> None:
    assert Comparison(interval="robust").interval == "robust"
    with pytest.raises(ValidationError, match="interval"):
        Comparison.model_validate({"interval": "bootstrap"})
