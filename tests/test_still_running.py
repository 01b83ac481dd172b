"""Runs that nobody has ended yet are no failures: what the tables, the words and the pages say of them."""

from typing import Any

import pytest

from federated.report import Report, RunResult, arm_outcomes, compare, page_html, table, text_table
from federated.report.costs.to_target import target_text, to_target
from federated.report.figures.clients.learning_curves import learning_curves
from federated.report.findings.ranking import ranked
from federated.report.findings.verdicts import compare_paired
from federated.report.text.sentences import sentences

ACCURACY = "generalisation/test_accuracy"


def run(arm: str, seed: int, status: Any = "FINISHED") -> RunResult:
    history = ((0, {ACCURACY: 0.1}), (3, {ACCURACY: 0.9 + seed / 100}))
    return RunResult("s", arm, seed, status, {}, history, ACCURACY, f"id-{arm}-{seed}")


MIXED = [
    *(run("a", seed) for seed in range(3)),
    run("b", 0),
    run("b", 1, "FAILED"),
    run("b", 2, "KILLED"),
    run("b", 3, "RUNNING"),
    run("b", 4, "SCHEDULED"),
]


def test_every_status_is_one_of_finished_running_and_failed() -> None:
    found = {run.status: (run.finished, run.running, run.failed) for run in MIXED}
    assert found == {
        "FINISHED": (True, False, False),
        "RUNNING": (False, True, False),
        "SCHEDULED": (False, True, False),
        "FAILED": (False, False, True),
        "KILLED": (False, False, True),
    }


def test_the_tables_count_them_apart_from_failures() -> None:
    summaries = compare(MIXED)
    assert [(each.runs, each.failed, each.running) for each in summaries] == [(3, 0, 0), (5, 2, 2)]
    assert summaries[1].score.mean == 0.9  # of the one that finished
    shown = text_table(summaries, full=False)
    assert shown.columns[-3:] == ["runs", "failed", "running"]
    assert [row[-3:] for row in shown.rows] == [["3", "0", "0"], ["5", "2", "2"]]
    assert table(summaries)["running"] == [0, 2]
    assert "running" not in table(compare(MIXED[:5]))  # nothing runs
    assert [row.cells["seeds"] for row in ranked(MIXED, [])] == ["3", "1 of 5 (2 still running)"]
    note = target_text(to_target(MIXED, 0.5)).note
    assert note.endswith("2 runs did not reach it and are left out. 2 runs still running are left out.")


def test_the_words_tell_them_apart() -> None:
    said = sentences(MIXED, compare_paired(MIXED))
    assert [each.rpartition(": ")[2] for each in said if each.startswith("Failed runs")] == ["b (2 of 5)."]
    assert "Still running and left out of every number: b (2 of 5)." in said
    begun = [run("a", 0, "RUNNING"), run("b", 0, "RUNNING")]
    assert sentences(begun, []) == ["Still running and left out of every number: a (1 of 1); b (1 of 1)."]
    assert not any("unning" in sentence for sentence in sentences(MIXED[:5], []))


def test_the_page_has_a_section_for_them() -> None:
    page = page_html(Report("s", MIXED), {})
    assert "8 runs, 2 arms, 5 seeds; 2 failed, 2 still running." in page
    failed, running = page.index("<h2>Failed runs</h2>"), page.index("<h2>Unfinished runs</h2>")
    assert failed < page.index("id-b-1") < page.index("id-b-2") < running < page.index("id-b-3")
    assert "still running" not in page_html(Report("s", MIXED[:6]), {})


def test_the_pictures_tell_them_apart() -> None:
    (panel,) = arm_outcomes(MIXED).axes
    labels = [label.get_text() for label in panel.get_yticklabels()]
    assert labels == ["a", "b (2 of 5 failed, 2 of 5 still running)"]


@pytest.mark.parametrize(("status", "end"), [("RUNNING", "seed 0"), ("KILLED", "seed 0 · FAILED")])
def test_the_picture_that_a_run_draws_at_its_own_end_calls_it_no_failure(status: str, end: str) -> None:
    assert learning_curves(run("a", 0, status)).get_suptitle().endswith(end)
