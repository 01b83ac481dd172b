"""Verdicts on arms against a baseline: known effects, identical arms, few seeds, failed runs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from federated.foundation.errors import BadInput
from federated.report import RunResult
from federated.report.findings.verdicts import Paired, choose_baseline, compare_paired

ACCURACY, R2 = "generalisation/test_accuracy", "generalisation/test_r2"
SEEDS = 8
BASE = 0.9 + 0.05 * np.random.default_rng(0).standard_normal(SEEDS)
NOISE = 0.002 * np.random.default_rng(1).standard_normal(SEEDS)


def arm(name: str, scores: Sequence[float] | np.ndarray, **changes: Any) -> list[RunResult]:
    fields: dict[str, Any] = {"status": "FINISHED", "parameters": {}, "main_metric": ACCURACY}
    return [
        RunResult("s", name, seed, history=((1, {ACCURACY: float(score)}),), **{**fields, **changes})
        for seed, score in enumerate(scores)
    ]


def only(results: list[RunResult], **options: Any) -> Paired:
    (paired,) = compare_paired(results, **options)
    return paired


@pytest.mark.parametrize(("effect", "verdict"), [(0.03, "better"), (-0.03, "worse"), (0.0, "no difference")])
def test_a_known_effect_is_found_beneath_a_larger_spread_of_seeds(effect: float, verdict: str) -> None:
    paired = only([*arm("plain", BASE), *arm("other", BASE + effect + NOISE)])
    assert paired.verdict == verdict
    assert paired.interval is not None
    assert paired.interval.low < effect < paired.interval.high
    assert (paired.estimate, paired.seeds) == (pytest.approx(effect, abs=0.002), tuple(range(SEEDS)))


def test_for_an_error_less_is_better() -> None:
    def in_mse(name: str, scores: np.ndarray) -> list[RunResult]:
        runs = arm(name, scores, main_metric="generalisation/test_mse")
        return [
            RunResult(**{**vars(run), "history": ((1, {run.main_metric: run.history[0][1][ACCURACY]}),)})
            for run in runs
        ]

    results = [*in_mse("plain", BASE), *in_mse("other", BASE - 0.03 + NOISE)]
    assert only(results).verdict == "better"
    assert choose_baseline(results, "best") == "other"


def test_identical_arms_are_flagged_whatever_the_seeds() -> None:
    for seeds in (1, 2, SEEDS):
        paired = only([*arm("plain", BASE[:seeds]), *arm("other", BASE[:seeds])])
        assert (paired.verdict, paired.estimate, paired.interval) == ("no effect", 0.0, None)


def test_the_same_score_from_another_curve_is_not_identical() -> None:
    other = [
        RunResult(**{**vars(run), "history": ((0, {ACCURACY: 0.2}), *run.history)})
        for run in arm("other", BASE)
    ]
    assert only([*arm("plain", BASE), *other]).verdict == "no difference"
    few = only([*arm("plain", BASE[:4]), *other[:4]])
    assert (few.verdict, few.steady, few.more_seeds) == ("inconclusive", True, 1)  # 4 equal scores: 1/16


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_or_two_seeds_decide_nothing(seeds: int) -> None:
    paired = only([*arm("plain", [0.5, 0.5][:seeds]), *arm("other", [0.9, 0.9001][:seeds])])
    assert (paired.verdict, paired.more_seeds) == (
        "inconclusive",
        5 - seeds,
    )  # three would still decide next to nothing
    assert (paired.interval is None) == (seeds == 1)


def test_three_seeds_have_a_wide_interval() -> None:
    paired = only([*arm("plain", [0.90, 0.91, 0.92]), *arm("other", [0.91, 0.93, 0.925])])
    assert paired.verdict == "inconclusive"
    assert paired.interval is not None
    # differences 0.01, 0.02, 0.005: mean 0.011667, deviation 0.0076376, t(0.975, 2) = 4.302653
    assert paired.interval.high - paired.interval.low == pytest.approx(
        2 * 4.302653 * 0.0076376 / 3**0.5, rel=1e-4
    )
    assert paired.more_seeds is not None


def test_only_seeds_that_both_finished_count() -> None:
    other = arm("other", BASE + 0.03 + NOISE)
    other[2] = RunResult(**{**vars(other[2]), "status": "FAILED"})
    assert only([*arm("plain", BASE), *other]).seeds == (0, 1, 3, 4, 5, 6, 7)
    broken = arm("other", [np.nan] * SEEDS)
    paired = only([*arm("plain", BASE), *broken])
    assert (paired.verdict, paired.estimate, paired.seeds) == ("inconclusive", None, ())


def test_a_larger_family_needs_more_evidence() -> None:
    close = BASE + np.array([0.01, 0.02, 0.015, 0.018, 0.012, 0.02, 0.01, -0.004])
    alone = only([*arm("plain", BASE), *arm("other", close)], delta=0.001)
    nothing = 0.01 * np.array([1, -1, 1, -1, 1, -1, 1, -1.1])
    rest = [run for at in range(60) for run in arm(f"more {at}", BASE + nothing)]
    among = compare_paired([*arm("plain", BASE), *arm("other", close), *rest], delta=0.001)[0]
    assert (alone.verdict, among.verdict) == ("better", "inconclusive")
    assert alone.interval == among.interval


def test_a_baseline_that_the_data_chose_makes_all_pairs_the_family() -> None:
    results = [*arm("a", BASE), *arm("b", BASE - 0.003 + NOISE), *arm("c", BASE - 0.006 - NOISE[::-1])]
    named, best = (compare_paired(results, wanted, 0.001) for wanted in ("a", "best"))
    assert [paired.arm for paired in best] == [paired.arm for paired in named] == ["b", "c"]
    assert all(corrected.p >= plain.p for corrected, plain in zip(best, named, strict=True))
    assert sum(corrected.p for corrected in best) > sum(plain.p for plain in named)


def test_the_baseline_is_the_first_arm_that_finished_unless_another_is_named() -> None:
    results = [*arm("failed", BASE, status="FAILED"), *arm("plain", BASE), *arm("other", BASE + 0.1)]
    assert choose_baseline(results) == "plain"
    assert choose_baseline(results, "best") == choose_baseline(results, "other") == "other"
    assert choose_baseline([]) is None
    with pytest.raises(
        BadInput, match="baseline: 'nobody' is not an arm; allowed: best, failed, plain, other"
    ):
        choose_baseline(results, "nobody")
    assert choose_baseline(results, "failed") is None
    assert compare_paired(results, "failed") == []
    with pytest.raises(BadInput, match="delta: 0 must be above 0"):
        compare_paired(results, delta=0)


def test_arms_with_another_main_metric_are_not_compared() -> None:
    results = [*arm("plain", BASE), *arm("regression", BASE, main_metric=R2), *arm("other", BASE)]
    assert [paired.arm for paired in compare_paired(results)] == ["other"]
