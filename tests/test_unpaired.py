"""Arms that share no seeds: Welch's worked example, rates by simulation, and when pairing is claimed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from federated.report import RunResult
from federated.report.paired import compare_paired
from federated.report.unpaired import (
    mann_whitney_p,
    welch_equivalence_p,
    welch_interval,
    welch_more_seeds,
    welch_p,
)
from federated.report.verdict import sentences, verdict_text

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


@pytest.mark.parametrize(
    "values", [([0.9], [0.8, 0.7]), ([0.9, 0.9], [0.8, 0.8]), ([0.9, np.nan], [0.8, 0.7])]
)
def test_without_a_spread_nothing_is_claimed(values: tuple[list[float], list[float]]) -> None:
    mine, theirs = map(np.array, values)
    assert welch_interval(mine, theirs) is None
    assert welch_p(mine, theirs) == welch_equivalence_p(mine, theirs, 1.0) == 1.0


def test_the_seeds_needed_are_the_first_count_that_decides() -> None:
    mine, theirs = 0.92 + 0.02 * np.array([-1.0, 0.0, 1.0]), 0.9 + 0.01 * np.array([-1.0, 0.0, 1.0])
    needed = welch_more_seeds(mine, theirs, 0.001, 1)
    assert needed is not None

    def decided(count: int) -> bool:
        shape = np.linspace(-1, 1, count)
        shape = shape / shape.std(ddof=1)
        return welch_p(0.92 + 0.02 * shape, 0.9 + 0.01 * shape) < 0.05

    assert [decided(3 + more) for more in (needed - 1, needed)] == [False, True]
    assert welch_more_seeds(mine[:1], theirs, 0.01, 1) == 2


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
    assert paired.mean == pytest.approx(apart.mean)
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
    assert verdict_text(pairs[0]) == "worse (not paired)"
    assert "without pairing their seeds (Welch)" in sentences(results, pairs)[-1]
