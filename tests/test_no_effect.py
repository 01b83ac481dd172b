"""Arms with identical results are flagged by name, with the setting that had no effect."""

from __future__ import annotations

from typing import Any

from federated.report import RunResult
from federated.report.findings.identical_arms import identical_arms
from federated.report.findings.verdicts import compare_paired
from federated.report.text.sentences import sentences

ACCURACY = "generalisation/test_accuracy"


def run(arm: str, accuracy: float, seed: int = 0, seconds: float = 1.0, **parameters: Any) -> RunResult:
    history = ((0, {ACCURACY: 0.1}), (3, {ACCURACY: accuracy, "system/training_seconds": seconds}))
    return RunResult("s", arm, seed, "FINISHED", {"seed": seed, "rounds": 3, **parameters}, history, ACCURACY)


def two(name: str, first: float, second: float, **parameters: Any) -> list[RunResult]:
    return [run(name, first, 0, **parameters), run(name, second, 1, seconds=9.0, **parameters)]


def test_the_option_that_had_no_effect_is_named_with_its_values() -> None:
    results = [
        *two("plain", 0.8, 0.9, **{"compression.uplink": "none", "local.momentum": 0.0}),
        *two("other", 0.7, 0.9, **{"compression.uplink": "none", "local.momentum": 0.9}),
        *two("same", 0.8, 0.9, **{"compression.uplink": "random_k", "compression.uplink.fraction": 1.0}),
    ]
    (same,) = identical_arms(results)
    assert same.arms == ("plain", "same")
    assert same.settings == {
        "compression.uplink": ("none", "random_k"),
        "local.momentum": ("0.0", "not stated"),
    }
    (only,) = identical_arms([*two("a", 0.5, 0.6, x=1), *two("b", 0.5, 0.6, x=2)])
    assert only.sentence().startswith("`a` and `b` have identical results")
    assert only.sentence().endswith(": x (1; 2).")


def test_arms_that_differ_with_one_seed_or_share_none_are_not_identical() -> None:
    assert identical_arms([*two("a", 0.5, 0.6), *two("b", 0.5, 0.7)]) == []
    assert identical_arms([run("a", 0.5, 0), run("b", 0.5, 1)]) == []


def test_the_verdict_flags_arms_that_equal_each_other_and_not_only_the_baseline() -> None:
    results = [*two("base", 0.5, 0.6, x=0), *two("b", 0.8, 0.9, x=1), *two("c", 0.8, 0.9, x=2)]
    said = sentences(results, compare_paired(results))
    (flagged,) = [each for each in said if "identical" in each]
    assert flagged.startswith("`b` and `c` ")
    assert flagged.endswith(": x (1; 2).")
    four = [each for number in range(5) for each in two(f"a{number}", 0.5, 0.6, x=number)]
    (same,) = identical_arms(four)
    assert same.sentence().startswith("`a0`, `a1`, `a2` and 2 more have identical results")


def test_settings_that_train_nothing_are_not_said_to_have_had_no_effect() -> None:
    """Arms that differ in an attack, or in the network alone, are trained alike by their nature."""
    for path in ("leakage.inversion.iterations", "network"):
        assert identical_arms([*two("a", 0.5, 0.6, **{path: 1}), *two("b", 0.5, 0.6, **{path: 2})]) == []
    both = {"leakage.inversion.iterations": 1, "x": 1}, {"leakage.inversion.iterations": 2, "x": 2}
    (same,) = identical_arms([*two("a", 0.5, 0.6, **both[0]), *two("b", 0.5, 0.6, **both[1])])
    assert same.settings == {"x": ("1", "2")}
    (alike,) = identical_arms([*two("a", 0.5, 0.6), *two("b", 0.5, 0.6)])
    assert alike.sentence().endswith("and the same settings.")
