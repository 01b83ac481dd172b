"""Arms that share no seeds: Welch's worked example, rates by simulation, and when pairing is claimed."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from scipy import stats

from federated.report import RunResult
from federated.report.findings.verdicts import compare_paired
from federated.report.statistics.two_arms import UnpairedScores, more_seeds
from federated.report.statistics.unpaired import (
    mann_whitney_p,
    welch_equivalence_p,
    welch_interval,
    welch_p,
)
from federated.report.text.phrases import verdict_text
from federated.report.text.sentences import sentences
from federated.study.looks import Looks

SIMULATIONS = 500
ERROR = 3 * np.sqrt(0.05 * 0.95 / SIMULATIONS)
ACCURACY = "generalisation/test_accuracy"
BASE = 0.9 + 0.01 * np.random.default_rng(0).standard_normal(8)


def two_arms(effect: float, mine: int, theirs: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Independent seeds, one arm three times as noisy as the other."""
    numbers = np.random.default_rng([mine, theirs])
    return [
        (0.9 + effect + 0.03 * numbers.standard_normal(mine), 0.9 + 0.01 * numbers.standard_normal(theirs))
        for _ in range(SIMULATIONS)
    ]


def test_welch_worked_by_hand() -> None:
    # means 2 and 7, variances 1 and 4, counts 3 and 3: error sqrt(5/3), freedom (5/3)^2 / (1/9/2 + 16/9/2) = 50/17
    mine, theirs = np.array([1.0, 2.0, 3.0]), np.array([5.0, 7.0, 9.0])
    freedom, error = 50 / 17, np.sqrt(5 / 3)
    interval = welch_interval(mine, theirs)
    assert interval is not None
    assert interval.low == pytest.approx(-5 - stats.t.ppf(0.975, freedom) * error)
    assert interval.high == pytest.approx(-5 + stats.t.ppf(0.975, freedom) * error)
    assert welch_p(mine, theirs) == pytest.approx(2 * stats.t.sf(5 / error, freedom))
    assert welch_equivalence_p(mine, theirs, 8.0) == pytest.approx(stats.t.sf(3 / error, freedom))
    assert mann_whitney_p(mine, theirs) == pytest.approx(2 / 20)  # one of 20 orders, and its mirror image


@pytest.mark.parametrize(("mine", "theirs"), [(3, 3), (5, 3), (3, 8)])
def test_rates_are_kept_with_unequal_spreads_and_counts(mine: int, theirs: int) -> None:
    arms = two_arms(0.02, mine, theirs)
    intervals = [welch_interval(*pair) for pair in arms]
    covered = np.mean([i is not None and i.low <= 0.02 <= i.high for i in intervals])
    assert covered > 0.95 - ERROR
    assert np.mean([welch_p(*pair) < 0.05 for pair in two_arms(0.0, mine, theirs)]) < 0.05 + 2 * ERROR
    assert np.mean([welch_equivalence_p(*pair, 0.02) < 0.05 for pair in arms]) < 0.05 + ERROR


@pytest.mark.parametrize("values", [([0.9], [0.8, 0.7]), ([0.9, np.nan], [0.8, 0.7])])
def test_what_nobody_can_estimate_is_not_claimed(values: tuple[list[float], list[float]]) -> None:
    mine, theirs = map(np.array, values)
    assert welch_interval(mine, theirs) is None
    assert welch_p(mine, theirs) == welch_equivalence_p(mine, theirs, 1.0) == 1.0


@pytest.mark.parametrize(("mine", "theirs"), [(2, 2), (3, 3), (4, 4), (3, 6)])
def test_without_any_spread_the_tests_are_exact(mine: int, theirs: int) -> None:
    """scipy's permutation test over all orders is the oracle; for equivalence one-sided, one arm shifted by delta."""
    high, low = np.full(mine, 0.9), np.full(theirs, 0.8)

    def oracle(shift: float, alternative: Literal["two-sided", "less", "greater"]) -> float:
        def difference(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
            return np.asarray(a.mean(axis=axis) - b.mean(axis=axis))

        arms = (high, low + shift)
        return float(
            stats.permutation_test(arms, difference, n_resamples=np.inf, alternative=alternative).pvalue
        )

    assert welch_interval(high, low) is None
    two_sided = 2 * min(oracle(0, "greater"), oracle(0, "less"))
    assert welch_p(high, low) == welch_p(low, high) == pytest.approx(two_sided)
    assert welch_p(high, high) == 1.0
    shifted = max(oracle(0.15, "less"), oracle(-0.15, "greater"))
    assert welch_equivalence_p(high, low, 0.15) == pytest.approx(shifted)
    assert welch_equivalence_p(high, low, 0.05) == 1.0


def test_arms_without_spread_need_few_more_seeds_and_then_have_a_verdict() -> None:
    """2 / C(6, 3) = 0.1 and 1 / 20 decide nothing with three seeds, 2 / C(8, 4) = 0.029 and 1 / 70 do with four."""

    def verdict(score: float, seeds: int) -> str:
        results = [
            *runs("a", "a: x", np.full(seeds, 0.8)),
            *runs("b", "b: y", np.full(seeds, score), partition="others"),
        ]
        (pair,) = compare_paired(results)
        assert pair.unpaired
        return verdict_text(pair)

    same, other = "same score with every seed", "same difference with every seed"
    assert verdict(0.9, 3) == f"inconclusive; 1 more seed would probably decide; {other}; not paired"
    assert verdict(0.8, 3) == f"inconclusive; 1 more seed would probably decide; {same}; not paired"
    assert verdict(0.9, 4) == f"better; {other}; not paired"
    assert verdict(0.7, 4) == f"worse; {other}; not paired"
    assert verdict(0.8, 4) == f"no difference larger than 0.01; {same}; not paired"
    assert verdict(0.805, 4) == f"no difference larger than 0.01; {other}; not paired"
    unlike = UnpairedScores(np.full(3, 0.9), np.full(3, 0.8))
    # ten comparisons: 2 / C(2n, n) < 0.005 from six seeds (2 / 924; with five 2 / 252)
    assert more_seeds(unlike, 0.01, 10, Looks()) == 3


def runs(study: str, arm: str, scores: np.ndarray, **changes: Any) -> list[RunResult]:
    return [
        RunResult(
            study, arm, seed, "FINISHED", {}, ((1, {ACCURACY: float(score)}),), ACCURACY,
            **{"partition": f"digits:{seed}", **changes},
        )
        for seed, score in enumerate(scores)
    ]  # fmt: skip


def test_arms_of_two_studies_are_paired_only_on_the_same_partitions() -> None:
    mine, better = runs("a", "a: x", BASE), BASE + 0.004 + 0.001 * np.sin(np.arange(8))
    (paired,) = compare_paired([*mine, *runs("b", "b: y", better)])
    (apart,) = compare_paired([*mine, *runs("b", "b: y", better, partition="others")])
    (unknown,) = compare_paired(
        [*runs("a", "a: x", BASE, partition=""), *runs("b", "b: y", better, partition="")]
    )
    assert (paired.unpaired, apart.unpaired, unknown.unpaired) == (False, True, True)
    assert paired.estimate == pytest.approx(apart.estimate)
    assert paired.interval is not None
    assert apart.interval is not None
    assert apart.interval == welch_interval(better, BASE)
    assert np.ptp(paired.interval) < np.ptp(apart.interval) / 3  # what seeds share does not cancel


def test_one_seed_on_another_partition_is_enough_to_give_pairing_up() -> None:
    others = runs("b", "b: y", BASE + 0.01)
    others[3] = replace(others[3], partition="another")
    (pair,) = compare_paired([*runs("a", "a: x", BASE), *others])
    assert pair.unpaired


def test_identical_scores_on_other_partitions_are_no_proof_of_no_effect() -> None:
    (pair,) = compare_paired([*runs("a", "a: x", BASE), *runs("b", "b: y", BASE, partition="others")])
    assert pair.verdict != "no effect"


def test_it_is_said_where_nothing_was_paired() -> None:
    results = [*runs("a", "a: x", BASE), *runs("b", "b: y", BASE - 0.1, partition="others")]
    pairs = compare_paired(results)
    assert verdict_text(pairs[0]) == "worse; not paired"
    assert "not paired (Welch test)" in sentences(results, pairs)[-1]
