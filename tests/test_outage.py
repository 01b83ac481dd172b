"""MLflow away while runs are tracked: training goes on, and MLflow has everything afterwards, once."""

import json
import shutil

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException
from mlflow.utils.rest_utils import verify_rest_response

from federated.report.costs.forecast_against_fact import Took
from federated.study.study import Run, StudyConfig
from tasks.tracking.delivery import messages, metrics, record_kinds, sending
from tasks.tracking.delivery.sending import settle, the_journal
from tasks.tracking.delivery.set_aside import Record
from tasks.tracking.runs import runs
from tasks.tracking.runs.history import log_history
from tasks.tracking.server.failures import is_away
from tasks.tracking.server.store import connect
from tasks.tracking.studies import syncing
from tasks.tracking.studies.forecasts import log_fact
from tests.conftest import Answer, config_of, serving

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("used_home")]  # each writes to a store of MLflow

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(messages, "_listener", lines.append)
    return lines


@pytest.fixture
def away(home, monkeypatch):
    """While the context lasts, what goes to MLflow goes where nobody answers."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(sending, "_deliver_in_background", lambda journal: None)

    def leave():
        patch = pytest.MonkeyPatch()
        patch.setattr(record_kinds, "connect", lambda: MlflowClient(NOWHERE))
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
        runs.log_tables(child, {"clients.json": {"client": [0, 1], "share": [0.25, 0.75]}})
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
    assert "./fedstudy sync" in said[0]
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
        sending.send("tags", run_id, tags={"not//allowed": "v"})
    leave = away()
    (the_journal().folder).mkdir(parents=True)
    the_journal().append(Record("tags", run_id, {"tags": {"not//allowed": "v"}}))
    sending.send("tags", run_id, tags={"k": "v"})
    leave.undo()
    settle()
    assert connect().get_run(run_id).data.tags["k"] == "v"
    assert "rejects one record (tags of" in said[-1]


def test_every_record_is_plain_json_with_a_digest(home, away, said):
    _track(away)
    lines = (the_journal().folder / "records").read_text().splitlines()
    kinds = [json.loads(line.partition(" ")[2])["kind"] for line in lines]
    assert kinds[0] == "create"
    assert kinds[-1] == "end"
    assert {"parameters", "metrics", "tags", "files", "tables"} < set(kinds)


@pytest.mark.parametrize("status", [500, 503, 429, 401, 403, 400, 404, 409])
def test_answers_that_are_not_mlflows_own_are_waited_for(status):
    answer = requests.Response()
    answer.status_code, answer._content = status, b"404 page not found"
    with pytest.raises(MlflowException) as raised:
        verify_rest_response(answer, "/api")
    assert is_away(raised.value)
    for body in (b"404 page not found", b"{}", b"[]", b'{"detail": "Not Found"}', b'{"error_code": 404}'):
        answer._content = body
        assert is_away(requests.HTTPError(response=answer))  # as artifacts say it
    for content in ({}, {"detail": "Not Found"}, {"error_code": 404}):
        assert is_away(RestException(content))
    answer.status_code, answer._content = 200, b"<html>"
    with pytest.raises(MlflowException) as raised:
        verify_rest_response(answer, "/api/2.0/mlflow")
    assert is_away(raised.value)


@pytest.mark.parametrize(
    "code", ["INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"]
)
def test_mlflows_own_answers_that_will_not_change_are_raised(code):
    error = RestException({"error_code": code, "message": "x"})
    answer = requests.Response()
    answer.status_code, answer._content = error.get_http_status_code(), error.serialize_as_json().encode()
    assert not is_away(error)
    assert not is_away(requests.HTTPError(response=answer))
    assert not is_away(ValueError("x"))


@pytest.fixture
def no_mlflow(home, monkeypatch):
    """Something else at MLflow's address, which answers 404."""

    with serving(lambda request: Answer(404, b"no\n")) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        monkeypatch.setattr(sending, "_deliver_in_background", lambda journal: None)
        yield


def test_something_else_at_mlflows_address_costs_no_record_and_no_file(no_mlflow, tmp_path, said):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "weights.bin").write_bytes(b"x" * 1000)
    run = sending.create("exp", "run", {}, None)
    sending.send("files", run, tmp_path / "given")
    journal = the_journal()
    before = (journal.folder / "records").read_bytes()
    assert not settle()  # as the start and the end of a study deliver
    assert not syncing.deliver_pending()
    assert (journal.folder / "records").read_bytes() == before
    assert journal.aside.records() == []
    assert len([*(journal.folder / "files").rglob("weights.bin")]) == 1
    runs.end_dead_studies()  # nothing is found, and nothing raised


def test_sync_says_that_mlflow_cannot_be_used_though_nothing_waits(no_mlflow, said):
    assert not syncing.deliver_pending()
    assert "404" in said[-1]
    assert "no records are pending" not in said[-1]
