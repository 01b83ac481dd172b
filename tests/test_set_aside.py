"""What MLflow does not take for a reason of its own: kept and said, while all other records go on."""

import shutil

import pytest
from mlflow import MlflowClient

from federated.study.study import Run, StudyConfig
from tasks.tracking.delivery import messages, record_kinds, sending
from tasks.tracking.delivery.journal import Journal
from tasks.tracking.delivery.ordered_delivery import deliver, deliver_set_aside
from tasks.tracking.delivery.sending import begin, settle, the_journal
from tasks.tracking.delivery.set_aside import Record
from tasks.tracking.runs import runs
from tasks.tracking.runs.history import log_history
from tasks.tracking.server.cause import Cause
from tasks.tracking.server.store import connect
from tasks.tracking.studies import syncing
from tests.conftest import config_of, outcome_of, runs_of


class Away(Exception):
    """The store does not answer."""


class Either(Exception):
    """The store answers, but does not take this."""


def _cause(error):
    return {Away: Cause.AWAY, Either: Cause.PERHAPS_ITS_OWN}.get(type(error), Cause.ITS_OWN)


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal")


def _records(journal, *stated):
    """`a metrics`: of the run a; `a create`, `b create below a`."""
    for text in stated:
        run, kind, *below = text.split()
        journal.append(Record(kind, run, {"parent": below[1] if below else None, "said": text}))


def _hearing(heard, fails):
    def hear(told, files):
        if (error := fails.get(told.content["said"])) is not None:
            raise error
        heard.append(told.content["said"])

    return hear


def _aside(journal):
    return [kept.record.content["said"] for kept in journal.aside.records()]


@pytest.mark.parametrize("error", [ValueError("no"), Either("413")])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_record_of_its_own_fault_holds_up_no_other(journal, error, at):
    stated = ["a metrics", "b metrics", "c metrics", "d metrics"]
    _records(journal, *stated)
    heard = []
    fails = {stated[at]: error}
    assert deliver(journal, _hearing(heard, fails), _cause) == 3
    assert heard == [each for each in stated if each != stated[at]]
    assert (journal.waits, _aside(journal)) == (False, [stated[at]])
    assert str(error) in journal.aside.records()[0].why
    assert deliver_set_aside(journal, _hearing(heard, fails), _cause) == 0
    assert _aside(journal) == [stated[at]]
    assert deliver_set_aside(journal, _hearing(heard, {}), _cause) == 1
    assert (sorted(heard), _aside(journal)) == (sorted(stated), [])


def test_where_nothing_is_taken_all_waits_and_in_order(journal):
    stated = [f"{run} metrics" for run in "abcde"]
    _records(journal, *stated)
    heard, fails = [], {each: Either("503") for each in stated}
    for waiting in (stated, stated[3:], stated[4:]):  # more than are tried, as many, one
        with pytest.raises(Either, match="503"):
            deliver(journal, _hearing(heard, {each: fails[each] for each in waiting}), _cause)
        heard.clear()
        assert journal.waits
    assert deliver(journal, _hearing(heard, {}), _cause) == 1
    assert (heard, journal.waits, _aside(journal)) == (["e metrics"], False, [])


def test_where_the_store_goes_away_what_was_passed_over_waits(journal):
    _records(journal, "a metrics", "b metrics", "c metrics")
    heard = []
    with pytest.raises(Away):
        deliver(journal, _hearing(heard, {"a metrics": Either(), "b metrics": Away()}), _cause)
    assert (heard, _aside(journal)) == ([], [])
    assert deliver(journal, _hearing(heard, {}), _cause) == 3
    assert heard == ["a metrics", "b metrics", "c metrics"]


@pytest.mark.parametrize("error", [ValueError("no"), Either("413")])
def test_what_has_to_come_after_it_is_kept_with_it_in_order(journal, error):
    _records(
        journal, "a create", "b create", "a metrics", "c create below a", "d create below b", "c end", "b end"
    )
    heard = []
    deliver(journal, _hearing(heard, {"a create": error}), _cause)
    assert heard == ["b create", "d create below b", "b end"]
    assert _aside(journal) == ["a create", "a metrics", "c create below a", "c end"]
    heard.clear()
    deliver_set_aside(journal, _hearing(heard, {"a create": error}), _cause)
    assert heard == []
    deliver_set_aside(journal, _hearing(heard, {"c create below a": error}), _cause)
    assert heard == ["a create", "a metrics"]
    deliver_set_aside(journal, _hearing(heard, {}), _cause)
    assert heard[2:] == ["c create below a", "c end"]


def test_only_what_would_be_overwritten_comes_after_it(journal, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    told = {
        "files": Record("files", "a", {}),
        "tags": Record("tags", "a", {"tags": {"k": "1", "l": "1"}}),
        "end": Record("end", "a", {"status": "FINISHED"}),
    }
    journal.set_aside(told["files"], tmp_path / "one", "no")
    journal.set_aside(told["tags"], None, "no")
    assert journal.aside.blocking(told["end"]) is None
    assert journal.aside.blocking(Record("metrics", "a", {})) is None
    assert journal.aside.blocking(told["files"], tmp_path / "two") is None
    assert journal.aside.blocking(told["files"], tmp_path / "one").record.kind == "files"
    assert journal.aside.blocking(Record("tags", "a", {"tags": {"l": "2"}})).record.kind == "tags"
    assert journal.aside.blocking(Record("tags", "a", {"tags": {"m": "2"}})) is None
    assert journal.aside.blocking(Record("files", "b", {}), tmp_path / "one") is None
    journal.set_aside(told["end"], None, "no")
    assert journal.aside.blocking(Record("reopen", "a", {"tags": {}})).record.kind == "end"


def test_where_the_store_goes_away_while_it_is_tried_again_nothing_is_lost(journal):
    for name in "abc":
        journal.set_aside(Record("metrics", name, {"said": name}), None, "no")
    heard = []
    with pytest.raises(Away):
        deliver_set_aside(journal, _hearing(heard, {"a": ValueError("still not"), "b": Away()}), _cause)
    assert (heard, _aside(journal)) == ([], ["a", "b", "c"])
    assert "still not" in journal.aside.records()[0].why


def test_what_an_older_version_set_aside_is_found(journal):
    journal.set_aside(Record("metrics", "a", {"said": "a"}), None, "no")
    (journal.folder / "aside").rename(journal.folder / "refused")
    assert _aside(Journal(journal.folder)) == ["a"]
    journal.set_aside(Record("metrics", "b", {"said": "b"}), None, "no")
    assert _aside(journal) == ["a", "b"]


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(messages, "_listener", lines.append)
    monkeypatch.setattr(sending, "_deliver_in_background", lambda journal: None)
    return lines


def _study(name):
    return StudyConfig(name=name, base=config_of().model_dump(), seeds=[0])


def _track(name):
    """A study of one run; the ids of both."""
    parent = runs.open_study(_study(name))
    child = runs.open_run(Run("arm", config_of()), name, parent)
    with runs.closing(child):
        log_history(child, [(1, {"train/loss": 2.0})], [5])
        runs.log_files(child, {"a.txt": "text"})
    runs.end_run(parent, "FINISHED")
    return parent, child


def _of(study):
    """What MLflow has of the runs of a study: (status, metrics, files), the study's own first."""
    client = connect()
    return [outcome_of(client, run) for run in runs_of(client, study)]


WHOLE = [
    ("FINISHED", {}, ["environment.json", "study.yaml"]),
    ("FINISHED", {"train/loss": 2.0}, ["a.txt", "config.yaml", "environment.json"]),
]


@pytest.mark.slow
@pytest.mark.usefixtures("used_home")
@pytest.mark.parametrize("while_away", [False, True])
def test_artifacts_that_cannot_be_written_are_kept_and_all_else_is_delivered(
    home, tmp_path, said, monkeypatch, while_away
):
    """Of an experiment whose folder has become a file: a lasting OSError that MLflow has no part in."""
    (tmp_path / "place").touch()
    connect().create_experiment("moved", artifact_location=(tmp_path / "place" / "artifacts").as_uri())
    if while_away:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        outage = pytest.MonkeyPatch()
        outage.setattr(record_kinds, "connect", lambda: MlflowClient("http://127.0.0.1:9"))
    _track("moved")
    _track("other")
    if while_away:
        outage.undo()
        begin()
    assert not the_journal().waits
    assert _of("other") == WHOLE
    assert [(status, metrics) for status, metrics, _ in _of("moved")] == [
        (status, metrics) for status, metrics, _ in WHOLE
    ]
    assert any("rejects" in line and "Not a directory" in line for line in said)
    assert not syncing.deliver_pending()
    assert str(the_journal().folder / "aside") in said[-1]
    (tmp_path / "place").unlink()
    assert syncing.deliver_pending()
    assert _of("moved") == WHOLE
    assert the_journal().aside.records() == []
    assert [*(the_journal().folder / "files").iterdir()] == []


@pytest.mark.slow
@pytest.mark.usefixtures("used_home")
def test_a_study_that_ended_while_mlflow_could_only_be_read_is_not_killed(home, said, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    parent = runs.open_study(_study("s"))
    child = runs.open_run(Run("arm", config_of()), "s", parent)
    lost = runs.open_study(_study("lost"))
    outage = pytest.MonkeyPatch()
    outage.setattr(record_kinds, "connect", lambda: MlflowClient("http://127.0.0.1:9"))
    runs.end_run(child, "FINISHED")
    runs.end_run(parent, "FINISHED")
    monkeypatch.setattr(runs, "is_dead", lambda process: True)
    runs.end_dead_studies()  # as the next study begins with, which reads that they run
    outage.undo()
    assert settle()
    assert [connect().get_run(each).info.status for each in (parent, child, lost)] == [
        "FINISHED",
        "FINISHED",
        "KILLED",
    ]
    assert "failure" not in connect().get_run(parent).data.tags


@pytest.mark.slow
@pytest.mark.usefixtures("used_home")
@pytest.mark.parametrize("which", ["parent", "child", "both"])
def test_runs_deleted_in_the_middle_are_said_once_and_the_study_goes_on(home, said, which):
    parent = runs.open_study(_study("s"))
    child = runs.open_run(Run("arm", config_of()), "s", parent)
    deleted = {"parent": [parent], "child": [child], "both": [parent, child]}[which]
    for each in deleted:
        connect().delete_run(each)
    with runs.closing(child):
        log_history(child, [(1, {"train/loss": 2.0})], [5])
        runs.set_tags(child, {"main_metric": "train/loss"})
        runs.log_files(child, {"a.txt": "text"})
    after = runs.open_run(Run("arm", config_of(), order=1), "s", parent)
    runs.end_run(after, "FINISHED")
    runs.set_tags(parent, {"verdict": "none"})
    runs.end_run(parent, "FINISHED")
    assert [line.partition(" was deleted")[0] for line in said] == [
        f"the run {each}" for each in sorted(deleted, key=[child, parent].index)
    ]
    assert connect().get_run(after).info.status == "FINISHED"
    assert not syncing.deliver_pending()
    for each in deleted:
        connect().restore_run(each)
    assert syncing.deliver_pending()
    assert [connect().get_run(each).info.status for each in (parent, child)] == ["FINISHED"] * 2
    assert connect().get_run(parent).data.tags["verdict"] == "none"
    assert connect().get_run(child).data.tags["main_metric"] == "train/loss"


@pytest.mark.slow
@pytest.mark.usefixtures("used_home")
def test_sync_says_what_is_set_aside_for_another_mlflow(home, said, tmp_path):
    other = Journal(home / "journal" / "0123456789abcdef")
    other.set_aside(Record("metrics", "a", {}), None, "no")
    (other.folder / "address").write_text("http://elsewhere")
    assert not syncing.deliver_pending()
    assert "http://elsewhere" in said[-1]
    shutil.rmtree(other.folder)
    assert syncing.deliver_pending()
