"""Ranks for seeds of which some fail: R's intervals, scipy's p, rates by simulation, and seeds that are named."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from federated.report import Report, RunResult
from federated.report.findings.by_seed import interval_over_seeds
from federated.report.findings.paired_table import paired_table
from federated.report.findings.verdicts import choose_baseline, compare_paired
from federated.report.statistics.by_ranks import (
    RankedScores,
    RankedUnpairedScores,
    _signed_rank_law,
    _too_rare,
    hodges_lehmann,
    outlying,
    rank_interval,
    two_sample_interval,
)
from federated.report.statistics.paired import LEVEL, RATE
from federated.report.statistics.two_arms import judged
from federated.report.text.phrases import _price, difference_text, looks_text
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
    said = "Seeds far from the others: other (seed 19). "
    assert any(each.startswith(said) for each in by_t.verdict)
    assert not any("far from" in each for each in by_ranks.verdict)


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
    assert f"Better than the baseline, plain: other ({difference_text(pair)})." in report.verdict
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


def unpaired_arms(mine: np.ndarray, theirs: np.ndarray, *, robust: bool) -> Report:
    results = tuple(
        RunResult(
            arm,
            arm,
            seed,
            "FINISHED",
            {},
            ((1, {ACCURACY: float(value)}),),
            ACCURACY,
            partition=f"{arm}:{seed}",
        )
        for arm, values in (("plain", theirs), ("other", mine))
        for seed, value in enumerate(values)
    )
    return Report("s", results, robust=robust)


@pytest.mark.parametrize(("mine", "theirs"), [(4, 4), (5, 8), (10, 10), (3, 12), (50, 50)])
def test_how_rare_sums_of_ranks_are_is_what_scipys_exact_test_says(mine: int, theirs: int) -> None:
    cut = _too_rare(mine, theirs, 0.025)
    for number, rare in ((cut - 1, True), (cut, False)):  # of pairs in which mine is above
        ranks = np.zeros(mine) if number < 0 else _with_pairs_above(number, mine, theirs)
        p = stats.mannwhitneyu(ranks, np.arange(theirs) + 0.5, method="exact", alternative="less").pvalue
        assert number < 0 or (p <= 0.025) == rare


def test_beyond_what_is_counted_the_normal_law_is_one_rank_off_at_most() -> None:
    exact = next(
        number
        for number in range(950, 1020)
        if stats.mannwhitneyu(
            _with_pairs_above(number, 51, 50), np.arange(50) + 0.5, method="exact", alternative="less"
        ).pvalue
        > 0.025
    )
    assert abs(_too_rare(51, 50, 0.025) - exact) <= 1


def _with_pairs_above(number: int, mine: int, theirs: int) -> np.ndarray:
    """Values without ties, of which so many pairs are above 0.5, 1.5, ..."""
    above = np.array([number // mine + (at < number % mine) for at in range(mine)], float)
    return above - np.arange(mine) / 1000  # smaller than the distance to the next half


def test_the_unpaired_interval_holds_what_the_test_does_not_reject() -> None:
    numbers = np.random.default_rng(2)
    mine, theirs = numbers.standard_normal(7), numbers.standard_normal(9)
    ends = two_sample_interval(mine, theirs, LEVEL)
    assert ends is not None
    for shift, inside in (
        (ends.low + 1e-6, 1),
        (ends.low - 1e-6, 0),
        (ends.high - 1e-6, 1),
        (ends.high + 1e-6, 0),
    ):
        assert (stats.mannwhitneyu(mine - shift, theirs, method="exact").pvalue > 0.05) == inside
    assert two_sample_interval(mine[:3], theirs[:3], LEVEL) is None  # 2 / C(6, 3) is a tenth
    found = RankedUnpairedScores(mine, theirs)
    assert found.estimate == np.median([a - b for a in mine for b in theirs])
    assert found.p == stats.mannwhitneyu(mine, theirs).pvalue
    one_sided = [
        stats.mannwhitneyu(mine + 0.7, theirs, alternative="greater").pvalue,
        stats.mannwhitneyu(mine - 0.7, theirs, alternative="less").pvalue,
    ]
    assert found.same_p(0.7) == pytest.approx(max(one_sided))


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "spread"), [(6, 1.0), (10, 1.0), (10, 3.0)])
def test_unpaired_rates_are_kept_where_seeds_fail(seeds: int, spread: float) -> None:
    """Either arm loses half of its accuracy with one seed in ten; one may spread three times as far."""
    numbers, held, rejected, same = np.random.default_rng(seeds), 0, 0, 0
    for _ in range(300):
        failed = (numbers.random((2, seeds)) < 0.1) * 0.5
        mine, theirs = 0.01 * numbers.standard_normal((2, seeds)) - failed
        found = RankedUnpairedScores(mine * spread, theirs)
        ends = found.interval(LEVEL)
        held += ends is not None and ends.low <= 0 <= ends.high
        rejected += found.p < RATE
        same += RankedUnpairedScores(mine * spread + 0.02, theirs).same_p(0.02) < RATE
    error = 3 * (0.05 * 0.95 / 300) ** 0.5
    assert held / 300 > 0.95 - error
    assert rejected / 300 < 0.05 + error
    assert same / 300 < 0.05 + error


def test_arms_that_are_not_paired_are_judged_by_ranks_too() -> None:
    numbers = np.random.default_rng(3)
    theirs = 0.8 + 0.005 * numbers.standard_normal(10)
    mine = 0.85 + 0.005 * numbers.standard_normal(10)
    mine[4] = 0.1
    by_means, by_ranks = (unpaired_arms(mine, theirs, robust=robust) for robust in (False, True))
    assert by_means.pairs[0].unpaired
    assert by_means.pairs[0].verdict == "inconclusive"
    assert by_ranks.pairs[0].verdict == "better"
    assert by_ranks.pairs[0].estimate == np.median(mine[:, None] - theirs[None, :])
    assert any("Mann-Whitney" in said for said in by_ranks.verdict)
    assert any("Welch" in said for said in by_means.verdict)
    steady = unpaired_arms(np.full(4, 0.9), np.full(4, 0.8), robust=True).pairs[0]
    assert (steady.verdict, steady.p) == ("better", pytest.approx(2 / 70))


def test_the_best_arm_is_chosen_by_what_differences_are_about() -> None:
    shifts = [0.02 + at / 10_000 for at in range(19)] + [-0.6]
    results = arms(shifts).results
    assert (choose_baseline(results, "best"), choose_baseline(results, "best", robust=True)) == (
        "plain",
        "other",
    )
    by_mean, by_ranks = (arms(shifts, robust=robust, baseline="best") for robust in (False, True))
    assert by_mean.verdict[0].startswith("Best mean test accuracy: plain, ")
    scores = np.array([run.final(ACCURACY) for run in results if run.arm == "other"])
    assert by_ranks.verdict[0].startswith(
        f"Best test accuracy by ranks: other, {hodges_lehmann(scores):.3f} ("
    )
    assert by_ranks.pairs[0].baseline == "other"
    ends = rank_interval(scores, LEVEL)
    assert (
        interval_over_seeds([run for run in results if run.arm == "other"], ACCURACY, robust=True)[1] == ends
    )


def test_the_table_names_the_test_that_its_p_are_of() -> None:
    pairs = arms([0.01] * 4 + [0.02] * 4, robust=True).pairs
    assert "p (ranks, Holm)" in paired_table(pairs, robust=True)
    assert "p (t, Holm)" in paired_table(pairs)
    assert "p (t, Holm)" not in paired_table(pairs, robust=True)


@pytest.mark.parametrize("seeds", [10, 20, 30])
def test_the_price_of_looks_by_ranks_is_students_to_a_twentieth(seeds: int) -> None:
    """How far a normal law must be moved so that half of the tests reject, with the look's share and with all."""
    share, top = Looks().share(seeds), seeds * (seeds + 1) // 2
    noise = np.random.default_rng(1).standard_normal((4000, seeds))
    below = np.cumsum(_signed_rank_law(seeds))

    def power(shift: float, rate: float) -> float:
        moved = noise + shift
        ranks = np.abs(moved).argsort(axis=1).argsort(axis=1) + 1
        above, cut = np.where(moved > 0, ranks, 0).sum(axis=1), np.searchsorted(below, rate / 2, side="right")
        return float(np.mean((above < cut) | (above > top - cut)))

    shifts = np.arange(0.2, 2.0, 0.01)
    needed = [next(s for s in shifts if power(s, rate) >= 0.5) for rate in (RATE * share, RATE)]
    assert needed[0] / needed[1] == pytest.approx(_price(share, seeds), rel=0.05)


def test_where_ranks_can_decide_nothing_no_price_is_named() -> None:
    few, enough = ([0.05 + at / 1000 for at in range(count)] for count in (6, 12))
    said = looks_text(arms(few, robust=True).pairs, Looks(), robust=True)
    assert "With 5 seeds a rank test cannot decide" in said
    assert said.endswith(" 10.")
    assert (
        stats.wilcoxon(few[:5]).pvalue / Looks().share(5) > 0.05 > stats.wilcoxon(enough[:10]).pvalue / 0.25
    )
    assert "The cost: with 10 seeds a difference must be about 1.4 times" in looks_text(
        arms(enough, robust=True).pairs, Looks(), robust=True
    )
    assert "must be 1.4 times" in looks_text(arms(enough).pairs, Looks())
