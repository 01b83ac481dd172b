"""A home that was renamed between two commands: its runs, their files and what waits for MLflow are found."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from federated.study.study import Run, StudyConfig
from tasks.tracking.delivery import messages, record_kinds, sending
from tasks.tracking.delivery.sending import the_journal
from tasks.tracking.runs import runs
from tasks.tracking.server.moved_home import follow
from tasks.tracking.server.store import connect
from tests.conftest import config_of, runs_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("used_home")]  # each writes to a store of MLflow

ROOT = Path(__file__).parents[1]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(messages, "_listener", lines.append)
    monkeypatch.setattr(sending, "_deliver_in_background", lambda journal: None)
    return lines


def _open() -> tuple[str, str]:
    parent = runs.open_study(StudyConfig(name="moved", base=config_of().model_dump(), seeds=[0]))
    return parent, runs.open_run(Run("arm", config_of()), "moved", parent)


def _away(*_: object) -> None:
    raise ConnectionError("away")


def _renamed(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    new = home.with_name("a new & longer name?")
    home.rename(new)
    monkeypatch.setenv("FEDSTUDY_HOME", str(new))
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    return new


@pytest.mark.nightly
def test_what_was_kept_and_what_waits_is_found_in_a_renamed_home(home, said, monkeypatch):
    parent, child = _open()
    for each in (parent, child):
        runs.log_files(each, {"x.txt": "before"})
    with monkeypatch.context() as patch:
        patch.setattr(record_kinds, "deliver", _away)
        patch.setattr(record_kinds, "answers", lambda: False)
        runs.log_files(child, {"y.txt": "waits"})
        runs.end_run(child, "FINISHED")
        runs.end_run(parent, "FINISHED")
    new = _renamed(home, monkeypatch)
    command = [
        sys.executable,
        "-m",
        "flows",
        "sync",
    ]  # another process: MLflow's client remembers where files are
    ended = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("3 records delivered to MLflow at ")
    assert [file for file in home.rglob("*") if file.is_file()] == []  # nothing was written where it was
    found = runs_of(connect(), "moved")
    assert [run.info.status for run in found] == ["FINISHED"] * 2
    assert all(run.info.artifact_uri.startswith(new.as_uri()) for run in found)
    assert (new / "artifacts" / "moved" / child / "artifacts" / "x.txt").read_text() == "before"
    assert (new / "artifacts" / "moved" / child / "artifacts" / "y.txt").read_text() == "waits"


def test_a_copy_of_a_home_that_is_still_there_is_left_as_it_is(home, said, monkeypatch):
    parent, _ = _open()
    location = connect().get_run(parent).info.artifact_uri
    monkeypatch.setenv("FEDSTUDY_HOME", str(home.with_name("copy")))
    home.with_name("copy").mkdir()
    (home.with_name("copy") / "mlflow.db").write_bytes((home / "mlflow.db").read_bytes())
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    assert connect().get_run(parent).info.artifact_uri == location
    assert location.startswith(home.as_uri())


def test_the_journal_of_another_store_is_no_journal_of_a_renamed_home(home, said, monkeypatch):
    other = home.with_name("elsewhere.db")
    for folder, address in {
        "1": f"sqlite:///{other}",
        "2": "http://host:5000",
        "3": "sqlite://?",
        "4": "",
    }.items():
        (home / "journal" / folder).mkdir(parents=True)
        (home / "journal" / folder / "address").write_text(address)
    assert the_journal().folder.name not in "1234"
    assert sorted(file.name for file in (home / "journal").iterdir()) == ["1", "2", "3", "4"]


def test_only_experiments_whose_folder_moved_along_are_changed(home, monkeypatch, tmp_path):
    """One on a disk that is not mounted keeps its place; one that moved is found, though the old name is in use."""
    elsewhere = (tmp_path / "nas" / "artifacts" / "x").as_uri()
    connect().create_experiment("elsewhere", artifact_location=elsewhere)
    parent, _ = _open()
    runs.log_files(parent, {"x.txt": "before"})
    before = connect().get_run(parent).info.artifact_uri
    new = _renamed(home, monkeypatch)
    (home / "artifacts" / "another").mkdir(parents=True)
    follow(new / "mlflow.db", new / "artifacts")
    with closing(sqlite3.connect(new / "mlflow.db")) as opened:
        places = dict(opened.execute("SELECT name, artifact_location FROM experiments"))
        (now,) = opened.execute("SELECT artifact_uri FROM runs WHERE run_uuid = ?", [parent]).fetchone()
    assert places["elsewhere"] == elsewhere
    assert places["moved"] == (new / "artifacts" / "moved").as_uri()
    assert now == before.replace(home.as_uri(), new.as_uri())
