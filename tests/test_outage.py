"""MLflow away while runs are tracked: training goes on, and MLflow has everything afterwards, once."""

import json
import shutil

import mlflow
import pytest
from mlflow import MlflowClient

from federated.report.foreseen import Took
from federated.study import Run, StudyConfig
from tasks.tracking import deliveries, metrics, runs, telling
from tasks.tracking.failures import is_away
from tasks.tracking.forecasts import log_fact
from tasks.tracking.history import log_history
from tasks.tracking.journal import Told
from tasks.tracking.store import connect
from tasks.tracking.telling import settle, the_journal
from tests.conftest import config_of

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(telling, "_listener", lines.append)
    return lines


@pytest.fixture
def away(home, monkeypatch):
    """While the context lasts, what goes to MLflow goes where nobody answers."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(telling, "_deliver_in_background", lambda journal: None)

    def leave():
        patch = pytest.MonkeyPatch()
        patch.setattr(deliveries, "connect", lambda: MlflowClient(NOWHERE))
        patch.setattr(metrics, "connect", lambda: MlflowClient(NOWHERE))
        patch.setattr(metrics, "tracking_uri", lambda: NOWHERE)
        return patch

    return leave


def _study(name="s", seeds=(0,)):
    return StudyConfig(name=name, base=config_of().model_dump(), seeds=list(seeds))


def _track(leave=None):
    """A study of one run; `leave` is called between them, and what it gives ends the outage."""
    parent = runs.open_study(_study())
    outage = leave and leave()
    child = runs.open_run(Run("arm", config_of()), "s", parent)
    with runs.closing(child):
        log_history(child, [(1, {"train/loss": 2.0}), (2, {"train/loss": 1.0, "x": float("nan")})], [5, 6])
        runs.set_tags(child, {"main_metric": "train/loss", "name": "ümlaut"})
        runs.log_files(child, {"a.txt": "text", "b.bin": b"\x00\xff"})
        runs.log_table(child, {"client": [0, 1], "share": [0.25, 0.75]}, "clients.json")
    log_fact(parent, Took(3.0, 1.0, 2.0))
    runs.end_run(parent, "FINISHED")
    if outage:
        outage.undo()
    return parent


def _held(parent):
    """What MLflow has of the study and its run, but for ids and times of the clock."""
    client = connect()
    experiment = client.get_run(parent).info.experiment_id
    found = []
    for run in client.search_runs([experiment], order_by=["attributes.start_time ASC"]):
        tags = {name: value for name, value in run.data.tags.items() if "parentRunId" not in name}
        tags.pop("fedstudy.run")
        history = {
            name: [(one.step, str(one.value)) for one in client.get_metric_history(run.info.run_id, name)]
            for name in run.data.metrics
        }
        files = sorted(file.path for file in client.list_artifacts(run.info.run_id))
        found.append((run.info.run_name, run.info.status, run.data.params, tags, history, files))
    return found


def test_what_was_told_while_mlflow_was_away_is_the_same_afterwards(home, away, said):
    parent = _track(away)
    journal = the_journal()
    assert journal.waits
    assert len(said) == 1
    assert "does not answer" in said[0]
    assert "Connection refused" in said[0]
    assert str(journal.folder) in said[0]
    assert "python -m flows sync" in said[0]
    kept = journal.folder.with_name("kept")
    shutil.copytree(journal.folder, kept)
    assert settle()
    assert not journal.waits
    after = _held(parent)
    (child,) = [run for run in connect().search_runs(["1"]) if "mlflow.parentRunId" in run.data.tags]
    assert child.data.tags["mlflow.parentRunId"] == parent
    assert child.info.status == "FINISHED"
    assert child.data.metrics["train/loss"] == 1.0
    assert list(connect().load_table("1", "clients.json", [child.info.run_id])["share"]) == [0.25, 0.75]
    shutil.copytree(kept, journal.folder, dirs_exist_ok=True)  # the same once more
    assert settle()
    assert _held(parent) == after
    shutil.rmtree(journal.folder / "ids")
    shutil.copytree(
        kept, journal.folder, dirs_exist_ok=True
    )  # and by somebody who knows of no run that was made
    assert settle()
    assert _held(parent) == after
    assert len(said) == 1


def test_it_is_what_mlflow_would_have_heard_directly(tmp_path, monkeypatch, away, said):
    delivered = _track(away)
    settle()
    one = _held(delivered)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # MLflow's own note of where it was
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path / "other"))
    other = _held(_track())
    for run in (*one, *other):
        run[3].pop("process", None)
    assert one == other
    assert not the_journal().waits


def test_a_run_that_cannot_be_told_of_is_not_failed_and_its_own_error_is(home, away, said):
    leave = away()
    run_id = runs.open_run(Run("arm", config_of()), "s", None)
    with pytest.raises(ValueError, match="my own"), runs.closing(run_id):
        raise ValueError("my own")
    leave.undo()
    settle()
    (run,) = connect().search_runs(["1"])
    assert (run.info.status, run.data.tags["failure"]) == ("FAILED", "ValueError: my own")


def test_what_fails_between_making_and_guarding_a_run_leaves_none_running(home, monkeypatch):
    monkeypatch.setattr(runs, "parameters_of", lambda values: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        runs.open_run(Run("arm", config_of()), "s", None)
    with pytest.raises(ZeroDivisionError):
        runs.open_study(_study())
    monkeypatch.setattr(runs, "parameters_of", lambda values: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        runs.open_run(Run("arm", config_of()), "s", None)
    found = connect().search_runs(["1"], order_by=["attributes.start_time ASC"])
    assert [run.info.status for run in found] == ["FAILED", "FAILED", "KILLED"]


def test_what_mlflow_refuses_is_raised_at_once_and_later_set_aside(home, away, said):
    run_id = runs.open_run(Run("arm", config_of()), "s", None)
    with pytest.raises(mlflow.exceptions.MlflowException, match="Invalid"):
        telling.tell("tags", run_id, tags={"not//allowed": "v"})
    leave = away()
    (the_journal().folder).mkdir(parents=True)
    the_journal().append(Told("tags", run_id, {"tags": {"not//allowed": "v"}}))
    telling.tell("tags", run_id, tags={"k": "v"})
    leave.undo()
    settle()
    assert connect().get_run(run_id).data.tags["k"] == "v"
    assert "1 of 2 records can never be delivered" in said[-1]


def test_every_record_is_plain_json_with_a_digest(home, away, said):
    _track(away)
    lines = (the_journal().folder / "records").read_text().splitlines()
    kinds = [json.loads(line.partition(" ")[2])["kind"] for line in lines]
    assert kinds[0] == "create"
    assert kinds[-1] == "end"
    assert {"parameters", "metrics", "tags", "files", "table"} < set(kinds)


@pytest.mark.parametrize("status", [500, 502, 503, 429, 401, 403])
def test_answers_that_may_change_are_waited_for(status):
    error = mlflow.exceptions.MlflowException(
        f"API request to endpoint /api failed with error code {status} != 200. Response body: 'x'"
    )
    assert is_away(error)


@pytest.mark.parametrize("status", [400, 404, 409])
def test_answers_that_will_not_change_are_raised(status):
    error = mlflow.exceptions.MlflowException(
        f"API request to endpoint /api failed with error code {status} != 200. Response body: 'x'"
    )
    assert not is_away(error)
    assert not is_away(ValueError("x"))
