"""What MLflow shows beside studies and runs: Markdown that says what is known, and fits."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from federated.report import Report, RunResult
from federated.report.page.notes import _code, run_notes, study_note
from tasks.tracking.server.store import connect
from tasks.tracking.studies.views import VIEW, save_view, view_url

ACCURACY = "generalisation/test_accuracy"


def run(arm: str, seed: int, score: float, **parameters: Any) -> RunResult:
    return RunResult(
        "s", arm, seed, "FINISHED", {"rounds": 3, "seed": seed, **parameters},
        ((3, {ACCURACY: score}),), ACCURACY, run_id=f"{arm}-{seed}",
    )  # fmt: skip


RESULTS = [
    run(arm, seed, score + 0.01 * seed + 0.001 * (arm == "b_x") * seed**2, mu=arm)
    for arm, score in (("a", 0.8), ("b_x", 0.9))
    for seed in range(4)
]
REPORT = Report("s", RESULTS, "Does *it* help?", stated_commands={"s": "python -m flows run s.yaml --resume"})


def test_a_study_s_note_has_question_verdict_table_and_where_the_report_is() -> None:
    note = study_note(REPORT, 5000)
    assert note.startswith("Does \\*it\\* help?\n\n- Best mean test accuracy: b\\_x, 0.9")
    lines = note.splitlines()
    header = next(
        at for at, line in enumerate(lines) if line.startswith("| arm | test accuracy | difference |")
    )
    assert set(lines[header + 1]) == set("| -")
    assert [line.split(" | ")[0] for line in lines[header + 2 : header + 4]] == ["| b\\_x", "| a"]
    assert len({line.count("|") for line in lines[header : header + 4]}) == 1
    assert "`report.html` under Artifacts" in note


def test_a_note_of_many_arms_leaves_out_the_worst_and_says_how_many() -> None:
    results = [run(f"arm {at}", seed, 0.9 - 0.01 * at) for at in range(60) for seed in (0, 1)]
    note = study_note(Report("s", results), 3000)
    assert len(note) <= 3000
    kept = sum(line.startswith("| arm ") for line in note.splitlines()) - 1  # the header too
    assert "| arm 0 |" in note
    assert f"{60 - kept} more arms are in the report." in note


def test_a_run_s_note_says_what_differs_and_runs_it_again() -> None:
    note = run_notes(REPORT)["b_x-2"]
    assert note.startswith("**b\\_x**, seed 2, of the study s")
    assert "| mu | b\\_x |" in note
    assert "rounds" not in note
    assert "python -m flows run s.yaml --arm b_x --seeds 2" in note
    assert "--resume" not in note


@pytest.mark.slow
@pytest.mark.usefixtures("used_home")
def test_the_saved_view_groups_the_runs_of_the_parent_by_arm(home: Path) -> None:
    experiment = connect().create_experiment("seen")
    parent = connect().create_run(experiment).info.run_id
    save_view(parent, "generalisation/test_mse", 7)
    tag = json.loads(connect().get_experiment(experiment).tags[f"mlflow.sharedViewState.{VIEW}"])
    assert (tag["name"], tag["createdAt"]) == ("Arms of the newest study", 7)
    kind, _, packed = tag["state"].partition(";")
    assert kind == "deflate"
    state = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert state["searchFilter"] == f"tags.`mlflow.parentRunId` = '{parent}'"
    assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "arm"}]
    assert state["orderByAsc"]  # of an error, less is better
    assert view_url(experiment).endswith(f"/#/experiments/{experiment}/runs?viewStateShareKey={VIEW}")


def test_a_note_has_no_links_pictures_or_tags_of_a_user_s_text() -> None:
    text = "![p](http://elsewhere/p.png) <img src=x> a & b ~~c~~ &lt;"
    note = study_note(Report("s", [], text), 5000)
    assert note.startswith(
        "!\\[p\\](http://elsewhere/p.png) &lt;img src=x\\> a &amp; b \\~\\~c\\~\\~ &amp;lt;\n\n"
    )


def test_a_command_with_backticks_stays_in_its_block() -> None:
    assert _code("a ``` b") == "````\na ``` b\n````"
    assert _code("a b") == "```\na b\n```"
