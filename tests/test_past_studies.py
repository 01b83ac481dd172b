"""The history of a study: whether the newest is as the earlier ones, since when; bands, failures; page and table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from federated.report import RunResult
from federated.report.page.history_page import history_html
from federated.report.versions.history import History, PastStudy
from federated.report.versions.history_table import history_table
from federated.report.versions.in_words import history_sentences
from federated.report.versions.version import Version

ACCURACY = "generalisation/test_accuracy"
FIRST = datetime(2026, 11, 1, 3, 0, tzinfo=UTC)


def night(at: int, commit: str, scores: Mapping[str, Sequence[float]], **changes: Any) -> PastStudy:
    """A study of these scores by arm and seed, the night `at` after the first."""
    version = Version("nightly", FIRST + timedelta(days=at), commit * 10, False, {})
    results = [
        RunResult("nightly", arm, seed, "FINISHED", {}, ((0, {ACCURACY: score}),), ACCURACY, data_digest="d")
        for arm, of_arm in scores.items()
        for seed, score in enumerate(of_arm)
    ]
    known = PastStudy(version, f"{at:08}" * 4, results, dict.fromkeys(scores, "key"), {}, "", (), "FINISHED")
    return known._replace(**changes)


def history(*studies: PastStudy) -> History:
    return History("nightly", studies)


def test_a_study_that_gives_the_same_every_night_is_said_to_be_the_same() -> None:
    same = {"a": [0.90, 0.92], "b": [0.70, 0.71]}
    said = history_sentences(history(*(night(at, "a", same) for at in range(3))))
    assert said == [
        "The newest study (commit aaaaaaaaa, 2026-11-03 03:00) is within what the 2 earlier ones gave in both arms.",
        "In all studies with the same settings every arm is the same, seed by seed.",
    ]


def test_a_change_is_dated_and_its_two_studies_are_named() -> None:
    """Arm b is another since the third night; a is as always, and one night in between gave it another score."""
    old, new = {"a": [0.90, 0.92], "b": [0.70, 0.71]}, {"a": [0.90, 0.92], "b": [0.60, 0.61]}
    nights = [night(0, "a", old), night(1, "a", old), night(2, "b", new), night(3, "c", new)]
    said = history_sentences(history(*nights))
    assert said[0].endswith("gave in both arms.")  # b has been so low before, on the third night
    assert said[1] == (
        "Changed with commit bbbbbbbbb, 2026-11-03 03:00, from commit aaaaaaaaa, 2026-11-02 03:00: "
        "b (0.705 to 0.605). `./fedstudy compare nightly@00000001 nightly@00000002` compares the two."
    )
    assert said[2] == "In all studies with the same settings a is the same, seed by seed."
    first = history_sentences(history(*nights[:3]))
    assert first[0] == (
        "The newest study (commit bbbbbbbbb, 2026-11-03 03:00) is outside what the 2 earlier ones gave in 1 of 2 arms: "
        "b: test accuracy 0.605, earlier 0.705."
    )


def test_a_change_of_data_at_one_commit_is_told_from_one_of_code() -> None:
    before, after = night(0, "a", {"a": [0.9]}), night(1, "a", {"a": [0.8]})
    other = [replace(run, data_digest="e") for run in after.results]
    (_, change) = history_sentences(history(before, after._replace(results=other)))
    assert ", at the same commit: a (0.900 to 0.800, with other data)." in change


def test_other_settings_and_unfinished_runs_do_not_count() -> None:
    longer = night(1, "a", {"a": [0.99, 0.99]}, arm_keys={"a": "longer"})
    half = night(2, "a", {"a": [0.90, 0.10]})
    failed = [half.results[0], replace(half.results[1], status="FAILED")]
    nights = [night(0, "a", {"a": [0.90, 0.92]}), longer, half._replace(results=failed, status="FAILED")]
    found = history(*nights)
    assert found.trends[0].last_change(2) == (
        None,
        found.trends[0].points[0],
    )  # by the seed that both finished
    said = history_sentences(found)
    assert said[0].endswith("is within what the earlier one gave in its one arm.")
    assert "1 study had other settings in some arm: they are drawn hollow and not counted." in said
    assert said[-1] == (
        "Runs failed in 1 study, and are left out of every number: 2026-11-03 03:00 (1 of 2)."
    )
    table = history_table(found)
    assert [row[-1] for row in table.rows] == ["1 of 2 runs failed", "other settings: a", "–"]


def test_seeds_that_were_added_move_no_mean_out_of_what_was_before() -> None:
    """0.85 over three seeds is below 0.91 over two, of which neither changed; a third that did is told by its seeds."""
    before = night(0, "a", {"a": [0.90, 0.92]})
    said = history_sentences(history(before, night(1, "a", {"a": [0.90, 0.92, 0.73]})))
    assert said[0].endswith("is within what the earlier one gave in its one arm.")
    said = history_sentences(history(before, night(1, "a", {"a": [0.80, 0.82, 0.73]})))
    assert said[0].endswith("test accuracy 0.783, earlier 0.883.")


@pytest.mark.parametrize("band", [(0.7, 0.8), (0.6, 0.7)])
def test_a_mean_on_an_end_of_its_band_is_within_it_whatever_its_rounding(band: tuple[float, float]) -> None:
    expect = {"a": {"main": band}}
    for seeds in (3, 6):
        found = history(night(0, "a", {"a": [0.7] * seeds}, expect=expect, bands="held"))
        assert history_table(found).rows[0][-1] == "–"


def test_bands_are_marked_in_the_table_and_on_the_page() -> None:
    bands = {"a": {"main": (0.85, 0.95)}}
    low = night(1, "b", {"a": [0.80, 0.82], "<b>": [0.5, 0.5]}, expect=bands, bands="missed")
    low = low._replace(missed=["a: test accuracy 0.81 is outside its band, 0.85 to 0.95"], status="FAILED")
    found = history(night(0, "a", {"a": [0.90, 0.92]}, expect=bands, bands="held"), low)
    assert [row[-1] for row in history_table(found).rows] == ["outside its band: a", "–"]
    said = history_sentences(found)
    assert "Figures of the newest study outside their bands: " + low.missed[0] + "." in said
    assert not any("Runs failed" in sentence for sentence in said)  # the study failed for its band alone
    page = history_html(found, "Why <so>?")
    assert 'src="data:image/png;base64,' in page
    assert "&lt;b&gt;" in page
    assert "Why &lt;so&gt;?" in page
    assert "<script" not in page
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")
    assert history_table(found, arms=1).note.endswith("1 more arm is in the report.")


@pytest.mark.parametrize("status", ["FAILED", "RUNNING"])
def test_a_study_without_a_finished_run_leaves_the_newest_to_the_one_before(
    status: Literal["FAILED", "RUNNING"],
) -> None:
    none = night(2, "b", {"a": [0.9]}, status=status)
    none = none._replace(results=[replace(run, status=status, history=()) for run in none.results])
    said = history_sentences(history(night(0, "a", {"a": [0.9]}), night(1, "a", {"a": [0.9]}), none))
    assert said[0].startswith(
        "The newest study with a finished run (commit aaaaaaaaa, 2026-11-02 03:00) is within"
    )
    assert said[-1].startswith(
        "Runs failed in 1 study" if status == "FAILED" else "Still running: 2026-11-03"
    )
    alone = history(none)
    assert history_sentences(alone)[0].startswith("nightly ran once, commit bbbbbbbbb")
    assert "<img" not in history_html(alone)
