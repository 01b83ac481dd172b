"""Studies of one name at two commits: each arm against itself, and what else differs between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from federated.report import Report, RunResult, drawn, page_html
from federated.report.versions.arm_by_arm import same_arms
from federated.report.versions.version import Version

ACCURACY = "generalisation/test_accuracy"
NIGHT = datetime(2026, 11, 27, 3, 15, tzinfo=UTC)
OLD = Version("nightly@abc", NIGHT, "abc" + "0" * 37, False, {"torch": "2.9", "git_commit": "abc"})
NEW = Version(
    "nightly@def", NIGHT.replace(day=28), "def" + "0" * 37, False, {"torch": "2.9", "git_commit": "def"}
)
SCORES = [0.90, 0.84, 0.88, 0.86, 0.91, 0.83]


def arm(version: Version, name: str, scores: Sequence[float], **changes: Any) -> list[RunResult]:
    fields: dict[str, Any] = {"status": "FINISHED", "parameters": {"rounds": 2}, "main_metric": ACCURACY}
    fields |= {"data_digest": "d", "commit": version.commit, **changes}
    return [
        RunResult(
            version.label,
            f"{version.label}: {name}",
            seed,
            history=((0, {ACCURACY: 0.1}), (2, {ACCURACY: score})),
            **{"partition": f"d:{seed}", **fields},
        )
        for seed, score in enumerate(scores)
    ]


def report(results: list[RunResult], *versions: Version) -> Report:
    return Report("nightly", results, versions=versions or (OLD, NEW))


def shifted(by: float) -> list[float]:
    return [score + by + 0.001 * (-1) ** seed for seed, score in enumerate(SCORES)]


def test_each_arm_is_compared_with_itself_seed_by_seed() -> None:
    """Seeds spread by 0.03, so that a loss of 0.01 shows only in pairs; other partitions change nothing of that."""
    results = [
        *arm(OLD, "a", SCORES),
        *arm(OLD, "b", SCORES),
        *arm(NEW, "a", SCORES),
        *arm(NEW, "b", shifted(-0.03), partition="other"),
    ]
    found = report(results)
    assert [(pair.arm, pair.baseline, pair.verdict, pair.unpaired) for pair in found.pairs] == [
        ("nightly@def: a", "nightly@abc: a", "no effect", False),
        ("nightly@def: b", "nightly@abc: b", "worse", False),
    ]
    first, second, origin, besides = found.verdict
    assert first == "1 of 2 arms changed from nightly@abc to nightly@def: 1 worse, 1 identical."
    assert second.startswith("Worse: b (−0.030 [−0.031, −0.029])")
    assert origin == (
        "nightly@abc: commit abc000000, 2026-11-27 03:15; nightly@def: commit def000000, 2026-11-28 03:15."
    )
    assert besides == (
        "Beside their commits, nightly@abc and nightly@def differ in the partitions of the data among the clients."
    )
    page = page_html(found, drawn(found))
    assert "The arm minus the same arm of nightly@abc, seed by seed" in page
    assert {row.arm for row in found.ranking if row.cells["verdict"] == "baseline"} == {
        "nightly@abc: a",
        "nightly@abc: b",
    }


def test_nothing_changed_is_said_first() -> None:
    both = [*arm(OLD, "a", SCORES), *arm(NEW, "a", SCORES)]
    said = report(both).verdict
    assert said[0] == (
        "Nothing changed from nightly@abc to nightly@def. "
        "Its one arm is identical, with every seed and to the last bit."
    )
    assert said[2] == (
        "nightly@abc and nightly@def have the same settings, data, partitions, packages and machine, "
        "so that their code alone differs."
    )
    assert len(said) == 3


@pytest.mark.parametrize(
    ("changes", "environment", "said"),
    [
        ({"parameters": {"rounds": 3}}, {}, "differ in rounds (2; 3)."),
        ({"data_digest": "e", "partition": "e:0"}, {}, "differ in their data, by digest."),
        ({"own_code": "my_models:Small 1a2b"}, {}, "code of your own (none; my_models:Small 1a2b)."),
        ({}, {"torch": "2.10"}, "differ in torch (2.9; 2.10)."),
    ],
)
def test_what_else_differs_is_named(changes: dict[str, Any], environment: dict[str, str], said: str) -> None:
    results = [*arm(OLD, "a", SCORES), *arm(NEW, "a", shifted(0.0), **changes)]
    newer = NEW._replace(environment={**NEW.environment, **environment})
    assert any(sentence.endswith(said) for sentence in report(results, OLD, newer).verdict)


def test_code_that_the_commit_does_not_tell_is_said() -> None:
    kept, *others = arm(NEW, "a", SCORES)
    results = [*arm(OLD, "a", SCORES), replace(kept, commit=OLD.commit), *others]
    verdict = report(results, OLD, NEW._replace(dirty=True)).verdict
    assert "nightly@def: commit def000000 with uncommitted changes" in verdict[1]
    assert verdict[3:] == [
        "The working tree of nightly@def had uncommitted changes, so the commit is not all of the code.",
        "1 of the 6 runs of nightly@def were trained at another commit, abc000000, as `--resume` keeps finished runs.",
    ]


def test_arms_of_one_version_alone_are_named() -> None:
    results = [*arm(OLD, "a", SCORES), *arm(OLD, "gone", SCORES), *arm(NEW, "a", SCORES)]
    results += arm(NEW, "b", SCORES)
    assert same_arms(results, (OLD, NEW)) == [("nightly@def: a", "nightly@abc: a")]
    assert report(results).verdict[-2:] == ["Only nightly@abc has gone.", "Only nightly@def has b."]
    strangers = [*arm(OLD, "a", SCORES), *arm(NEW, "b", SCORES)]
    assert report(strangers).verdict[0] == "No arm of nightly@def can be compared with nightly@abc."
    assert report(strangers).pairs == []
    assert not any("have the same" in sentence for sentence in report(strangers).verdict)


def test_what_was_not_compared_is_not_said_to_be_the_same_or_to_have_changed() -> None:
    before, after = arm(OLD, "a", SCORES[:3]), arm(NEW, "a", SCORES)[3:]
    verdict = report([*before, *after]).verdict
    assert verdict[0] == "No arm of nightly@def can be compared with nightly@abc."
    assert not any("have the same" in sentence for sentence in verdict)
    both = [*arm(OLD, "a", SCORES), *arm(NEW, "a", SCORES)]
    said = report(both, OLD, NEW._replace(environment={})).verdict
    assert said[2] == (
        "nightly@abc and nightly@def have the same settings, data, partitions; not recorded: packages and machine."
    )


def test_a_failed_run_leaves_its_seed_out() -> None:
    broken = [replace(arm(NEW, "a", SCORES)[0], status="FAILED"), *arm(NEW, "a", SCORES)[1:]]
    found = report([*arm(OLD, "a", SCORES), *broken])
    assert found.pairs[0].seeds == (1, 2, 3, 4, 5)
    assert found.verdict[-1].startswith("Failed runs are left out of every number")
    lost = [replace(run, status="FAILED") for run in arm(NEW, "a", SCORES)]
    assert any(
        sentence.startswith("Not compared, because no seed finished")
        for sentence in report([*arm(OLD, "a", SCORES), *lost]).verdict
    )
