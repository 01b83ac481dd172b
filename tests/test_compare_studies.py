"""Studies compared with each other, from what MLflow holds of them; no training, so that it takes seconds."""

import html
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from federated.foundation.errors import BadInput
from federated.metrics import Metrics
from federated.report import Report, RunResult, page_html
from federated.report.versions.version import when
from federated.study.study import StudyConfig
from flows.command_line import main
from flows.study_comparison import history_of_study
from flows.terminal.screen import console
from tasks.tracking.reading.naming import started
from tasks.tracking.reading.partitions import partition_pictures
from tasks.tracking.reading.places import place_tag
from tasks.tracking.reading.results import COMMIT
from tasks.tracking.reading.search import results_of_study, study_names
from tasks.tracking.runs import runs
from tasks.tracking.runs.history import log_history
from tasks.tracking.server.store import connect
from tasks.tracking.studies.comparison import StudyOutcome, compare_again, conclude
from tasks.tracking.studies.history import study_history

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("used_home")]
ACCURACY, R2 = "generalisation/test_accuracy", "generalisation/test_r2"


def tracked(
    name: str, scores: dict[str, list[float]], partitions: str = "p", metric: str = ACCURACY, **stated: object
) -> StudyOutcome:
    """A study of `mu` arms in MLflow, with these final scores by seed, as if it had been run."""
    arms = [{"algorithm": f"fedprox(mu={mu})"} for mu in scores]
    seeds = list(range(len(next(iter(scores.values())))))
    study = StudyConfig.model_validate(
        {
            "name": name,
            "base": {"dataset": "digits", "model": "linear", "rounds": 2},
            "arms": arms,
            "seeds": seeds,
            **stated,
        }
    )
    parent = runs.open_study(study)
    for run, score in zip(study.runs(), [v for values in scores.values() for v in values], strict=True):
        run_id = runs.open_run(run, name, parent)
        with runs.closing(run_id):
            history: list[tuple[int, Metrics]] = [
                (0, {metric: 0.1}),
                (1, {"communication/uplink_bytes_total": 5e5}),
                (2, {metric: score, "communication/uplink_bytes_total": 1e6}),
            ]
            log_history(run_id, history)
            digests = {"data_digest": "d", "partition_digest": f"{partitions}{run.config.seed}"}
            runs.set_tags(run_id, {"main_metric": metric, **digests})
    with runs.closing(parent):
        return conclude(parent, study, results_of_study(parent))


def named(results: "list[RunResult] | tuple[RunResult, ...]") -> list[tuple[str, str, int]]:
    return [(run.study, run.arm, run.seed) for run in results]


def test_two_studies_in_one_table_and_one_report(home: Path) -> None:
    first = tracked("first", {"0.1": [0.80, 0.81, 0.79], "0.2": [0.85, 0.86, 0.84]}, description="Why?")
    tracked("second", {"0.5": [0.90, 0.912, 0.889]})
    before = _everything_in_mlflow()
    outcome = compare_again(["first", "second"])
    assert _everything_in_mlflow() == before
    arms = [f"first: {first.found.arms[0].arm}", f"first: {first.found.arms[1].arm}"]
    assert [summary.arm for summary in outcome.found.arms][:2] == arms
    assert {run.study for run in outcome.results} == {"first", "second"}
    assert [pair.unpaired for pair in outcome.found.pairs] == [False, False]  # the same partitions
    assert outcome.found.pairs[1].verdict == "better"
    page = outcome.report.read_text(encoding="utf-8")
    assert outcome.report.parent.parent == home / "reports"
    assert "first and second" in page
    assert "first: Why?" in page
    for study in ("first", "second"):
        assert f"./fedstudy run {study}.yaml --arm &#39;fedprox(mu=" in page
    experiments = {str(connect().get_experiment_by_name(name).experiment_id) for name in ("first", "second")}
    assert all(f"%22{run.run_id}%22" in outcome.url for run in outcome.results)
    assert {f"%22{experiment}%22" in outcome.url for experiment in experiments} == {True}


def test_other_partitions_are_compared_without_pairing() -> None:
    tracked("first", {"0.1": [0.80, 0.81, 0.79]})
    tracked("second", {"0.1": [0.90, 0.92, 0.88]}, partitions="q")
    outcome = compare_again(["first", "second"])
    assert [pair.unpaired for pair in outcome.found.pairs] == [True]
    assert "Welch test" in outcome.report.read_text(encoding="utf-8")


def test_an_older_run_of_a_study_is_named_by_its_id() -> None:
    old = tracked("daily", {"0.1": [0.80, 0.81, 0.79]})
    new = tracked("daily", {"0.1": [0.80, 0.81, 0.79]})
    assert compare_again(["daily"]).parent_run_id == new.parent_run_id
    asked = f"daily@{old.parent_run_id[:8]}"
    outcome = compare_again(["daily", asked])
    assert outcome.parent_run_ids == (new.parent_run_id, old.parent_run_id)
    assert [pair.verdict for pair in outcome.found.pairs] == ["no effect"]  # the same run twice
    assert outcome.found.pairs[0].arm.startswith(f"{asked}: ")


def test_a_study_is_named_by_its_commit_or_its_day_and_compared_with_itself() -> None:
    commits = ["a" * 40, "ab" + "c" * 38, "ab" + "c" * 38]
    old, middle, new = (
        tracked("daily", {"0.1": [0.80, 0.81, 0.79]}, partitions=commit).parent_run_id for commit in commits
    )
    for run_id, commit in zip((old, middle, new), commits, strict=True):
        runs.set_tags(run_id, {COMMIT: commit})
    for run_id, changed in ((old, "False"), (middle, "True")):
        environment = json.dumps({"git_uncommitted_changes": changed})
        runs.log_files(run_id, {"environment.json": environment})
    outcome = compare_again(["daily@aa", "daily@ABC"])
    assert outcome.parent_run_ids == (old, new)  # the newest of that commit
    assert [(pair.verdict, pair.unpaired) for pair in outcome.found.pairs] == [("no effect", False)]
    assert outcome.found.verdict[0].startswith("Nothing changed from daily@aa to daily@ABC.")
    day = f"daily@{when(started(connect().get_run(new)))[:10]}"
    assert compare_again([day]).parent_run_id == new
    dirty = compare_again(["daily@aa", f"daily@{middle[:12]}"]).found
    assert [version.dirty for version in dirty.versions] == [False, True]
    assert "with uncommitted changes" in dirty.verdict[1]
    asked = compare_again(["daily@aa", "daily@abc"], baseline="daily@aa: fedprox(mu=0.1)").found
    assert not asked.versions  # who states a baseline is answered as for any studies
    for name, message in {
        "daily@a": r"daily@a may be any of: .*\(commit abccccccc, id .*write more of the commit or id",
        "daily@": r"no study 'daily' of '', .*there are: 20.*commit abccccccc, id .*commit aaaaaaaaa, id",
        "daily@2001-01-01": "no study 'daily' of '2001-01-01', which must be the beginning of a commit or of an id",
        "none@abc": "there is no study 'none@abc' in MLflow at .*; known: daily",
    }.items():
        with pytest.raises(BadInput, match=message):
            compare_again(["daily", name])


def test_the_history_has_every_study_of_the_name_with_the_runs_that_it_took(home: Path) -> None:
    bands: dict[str, Any] = {"expect": {"fedprox(mu=0.1)": {"main": [0.85, 0.95]}}}
    scores = {"0.1": [0.80, 0.82]}
    first = tracked("daily", scores)
    tracked("daily", {"0.1": [0.90, 0.92]}, **bands)
    tracked("other", scores)
    study = StudyConfig.model_validate(
        {"name": "daily", "base": {"dataset": "digits", "model": "linear", "rounds": 2}, "seeds": [0, 1]}
    )
    parent = runs.open_study(study)
    with runs.closing(parent):
        for run, taken in zip(study.runs(), first.results, strict=True):
            runs.set_tags(taken.run_id, place_tag(parent, replace(run, arm="fedprox(mu=0.1)"), 0))
    history, page = study_history("daily")
    (trend,) = history.trends
    assert [point.mean for point in trend.points] == pytest.approx([0.81, 0.91, 0.81])
    assert [point.band for point in trend.points] == [None, (0.85, 0.95), None]
    assert [study.bands for study in history.studies] == ["", "held", ""]
    assert history.studies[2].run_id == parent
    assert page == home / "reports" / "daily-history.html"
    with pytest.raises(BadInput, match=r"there is no study 'none' in MLflow at .*; known: daily, other"):
        study_history("none")


def test_a_history_takes_one_name_and_nothing_else() -> None:
    for names, asked, message in (
        (["a", "b"], {}, "--history: takes the name of one study, such as quickstart; got a b"),
        (["a@1"], {}, "--history: takes the name of one study, such as quickstart; got a@1"),
        (["a"], {"delta": 0.1, "target": None}, "--history: has no use for --delta; it shows every study as it was"),
    ):  # fmt: skip
        with pytest.raises(BadInput) as refused:
            history_of_study(names, console(), asked)
        assert str(refused.value) == message


def test_the_first_study_says_how_arms_are_judged_unless_the_command_does() -> None:
    stated = {"comparison": {"baseline": "fedprox(mu=0.2)", "delta": 0.03}}
    tracked("first", {"0.1": [0.80, 0.81, 0.79], "0.2": [0.85, 0.86, 0.84]}, **stated)
    tracked("second", {"0.5": [0.90, 0.912, 0.889]})
    outcome = compare_again(["first", "second"])
    assert {(pair.baseline, pair.delta) for pair in outcome.found.pairs} == {("first: fedprox(mu=0.2)", 0.03)}
    outcome = compare_again(["first", "second"], baseline="second: fedprox(mu=0.5)", delta=0.01)
    assert outcome.found.pairs[0].baseline == "second: fedprox(mu=0.5)"
    with pytest.raises(
        BadInput, match=r"baseline: 'fedprox\(mu=0.5\)' is not an arm; allowed: best, first: "
    ):
        compare_again(["first", "second"], baseline="fedprox(mu=0.5)")


def test_what_cannot_be_compared_is_refused() -> None:
    tracked("first", {"0.1": [0.80]})
    tracked("regression", {"0.1": [0.80]}, metric=R2)
    with pytest.raises(
        BadInput, match=r"no study 'none' or .it's. in MLflow at .*; known: first, regression"
    ):
        compare_again(["first", "none", "it's"])
    with pytest.raises(BadInput, match="'first' is named twice"):
        compare_again(["first", "first"])
    again = f"first@{compare_again(['first']).parent_run_id[:6]}"
    with pytest.raises(BadInput, match=f"'first' and '{again}' are the same study in MLflow"):
        compare_again(["first", again])
    with pytest.raises(
        BadInput, match="first by test accuracy; regression by test R²; compare them one at a"
    ):
        compare_again(["first", "regression"])
    assert study_names() == ["first", "regression"]


def test_a_study_whose_file_was_deleted_in_mlflow_ends_the_command_with_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, damaged = (tracked("daily", {"0.1": [0.80]}).parent_run_id for _ in range(2))
    (file,) = home.glob(f"artifacts/daily/{damaged}/artifacts/study.yaml")
    file.unlink()
    monkeypatch.setattr(sys, "argv", ["flows", "compare", "daily"])
    with pytest.raises(SystemExit) as ended:
        main()
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert line.startswith(
        f"error: the run {damaged} of the study 'daily' has no study.yaml among its artifacts"
    )
    assert line.endswith("or name another study as daily@COMMIT, @ID or @DATE")
    assert compare_again([f"daily@{kept[:8]}"]).parent_run_id == kept


def _everything_in_mlflow() -> list[tuple[str, dict[str, str], int]]:
    client = connect()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return [
        (run.info.run_id, run.data.tags, len(client.list_artifacts(run.info.run_id)))
        for run in client.search_runs(experiments)
    ]


def test_the_way_to_the_target_of_a_stop_rule_is_known_round_by_round() -> None:
    """Whatever metric the rule watches: of most others, a report has no more than the last value."""
    watched = "generalisation/test_macro_f1"
    study = StudyConfig.model_validate(
        {
            "name": "stopped",
            "base": {
                "dataset": "digits",
                "model": "linear",
                "rounds": 3,
                "stop": {"metric": watched, "target": 0.5},
            },
        }
    )
    parent = runs.open_study(study)
    run_id = runs.open_run(study.runs()[0], "stopped", parent)
    with runs.closing(parent), runs.closing(run_id):
        log_history(run_id, [(at, {ACCURACY: at / 4, watched: at / 4}) for at in range(4)])
    (row,) = compare_again(["stopped"]).found.costs.text.rows
    assert row[1:4] == ["test macro F1 ≥ 0.5", "1 of 1", "2"]


def test_anchors_are_not_counted_among_the_arms_that_share_a_partition() -> None:
    study = StudyConfig.model_validate(
        {"name": "shared", "base": {"dataset": "digits", "model": "linear", "rounds": 1}}
    )
    parent = runs.open_study(study)
    run_id = runs.open_run(study.runs()[0], "shared", parent)
    with runs.closing(parent), runs.closing(run_id):
        runs.log_files(run_id, {"partition.png": b"PNG"})
    results = [
        RunResult("shared", arm, 0, "FINISHED", {}, (), ACCURACY, run_id, partition="p", anchor=anchor)
        for arm, anchor in (("centralised", "centralised"), ("a", ""), ("b", ""))
    ]
    assert partition_pictures(results) == ({"a and 1 more arm, seed 0": b"PNG"}, "")
    assert partition_pictures(results[:1]) == ({"centralised, seed 0": b"PNG"}, "")


def test_partitions_that_are_not_shown_are_counted_and_it_is_said_where_they_are() -> None:
    study = StudyConfig.model_validate(
        {"name": "many", "base": {"dataset": "digits", "model": "linear", "rounds": 1}}
    )
    parent = runs.open_study(study)
    drawn, early = (runs.open_run(study.runs()[0], "many", parent) for _ in range(2))
    with runs.closing(parent), runs.closing(drawn), runs.closing(early):
        runs.log_files(drawn, {"partition.png": b"PNG"})
    results = [
        RunResult("many", f"arm {at}", 0, "FINISHED", {}, (), ACCURACY, early if at == 1 else drawn, partition=f"p{at}")
        for at in range(9)
    ]  # fmt: skip
    shown, note = partition_pictures(results)
    assert list(shown) == [f"arm {at}, seed 0" for at in (0, 2, 3, 4, 5, 6)]  # the second has no picture
    assert note.startswith("3 of 9 partitions of seed 0 have no picture here: arm 1; arm 7; arm 8. Each run")
    assert "partition.png under Artifacts" in note
    report = Report("many", results, partitions=shown, partitions_note=note)
    assert note in html.unescape(page_html(report, {}))
    assert partition_pictures(results[2:8]).note == ""


def test_the_environment_of_a_report_is_that_of_the_runs() -> None:
    first, second = tracked("first", {"0.1": [0.80]}), tracked("second", {"0.1": [0.80]})
    assert "torch" in first.found.environment
    runs.log_files(first.parent_run_id, {"environment.json": '{"torch": "1.0"}'})
    assert compare_again(["first"]).found.environment == {"torch": "1.0"}
    both = compare_again(["first", "second"]).found.environment
    assert both["first: torch"] == "1.0"
    assert both["second: torch"] == second.found.environment["torch"]


def test_a_study_that_is_under_way_is_compared_without_calling_its_runs_failures() -> None:
    tracked("daily", {"0.1": [0.80, 0.81, 0.79]})
    study = StudyConfig.model_validate(
        {"name": "daily", "base": {"dataset": "digits", "model": "linear", "rounds": 2}, "seeds": [0, 1]}
    )
    parent = runs.open_study(study)
    ended, _ = (runs.open_run(run, "daily", parent) for run in study.runs())
    with runs.closing(ended):
        log_history(ended, [(2, {ACCURACY: 0.9})])
    outcome = compare_again(["daily"])
    (arm,) = outcome.found.arms
    assert (arm.runs, arm.failed, arm.running) == (2, 0, 1)
    assert "1 failed" not in outcome.report.read_text(encoding="utf-8")
