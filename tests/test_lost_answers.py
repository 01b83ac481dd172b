"""A real MLflow server behind a gateway that loses its answers, or does not let something through."""

import os
import subprocess
import sys
from socket import socket

import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import ViewType

from federated.study.study import Run, StudyConfig
from tasks.tracking.delivery import messages, sending
from tasks.tracking.delivery.sending import settle, the_journal
from tasks.tracking.reading import curves
from tasks.tracking.reading.curves import curves_of
from tasks.tracking.runs import runs
from tasks.tracking.runs.history import log_history
from tasks.tracking.studies import syncing
from tests.conftest import (
    Answer,
    config_of,
    default_signals,
    forwarded,
    outcome_of,
    runs_of,
    serving,
    with_databases,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory, new_databases):
    """The address of an MLflow server."""
    folder = with_databases(tmp_path_factory.mktemp("server"), new_databases)
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    with default_signals():
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    url = f"http://127.0.0.1:{port}"
    while not _is_up(url):
        assert process.poll() is None
    yield url
    process.terminate()
    process.wait(timeout=90)


def _is_up(url):
    try:
        return requests.get(f"{url}/health", timeout=1).ok
    except requests.RequestException:
        return False


@pytest.fixture
def gateway(server, home, monkeypatch):
    """Point at a gateway before the server. What is in the dictionary, part of a path -> function, is done first."""
    does = {}

    def answer(request):
        path = request.path.partition("?")[0]
        for end, act in [*does.items()]:
            if end in path and (given := act(request)) is not None:
                return given
        return forwarded(request, server)

    monkeypatch.setattr(sending, "_deliver_in_background", lambda journal: None)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    with serving(answer) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        yield does


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(messages, "_listener", lines.append)
    return lines


def _track(name):
    """A study of one run, tracked to its end."""
    parent = runs.open_study(StudyConfig(name=name, base=config_of().model_dump(), seeds=[0]))
    child = runs.open_run(Run("arm", config_of()), name, parent)
    with runs.closing(child):
        log_history(child, [(1, {"train/loss": 2.0})], [5])
        runs.log_files(child, {"a.bin": b"x" * 1000})
    runs.end_run(parent, "FINISHED")


def _of(name, server):
    """(status, metrics, names of its files) of each run of a study."""
    client = MlflowClient(server)
    found = runs_of(client, name)
    assert [("mlflow.parentRunId" in run.data.tags) for run in found] == [False, True]
    assert found[1].data.tags["mlflow.parentRunId"] == found[0].info.run_id
    return [outcome_of(client, run) for run in found]


WHOLE = [
    ("FINISHED", {}, ["environment.json", "study.yaml"]),
    ("FINISHED", {"train/loss": 2.0}, ["a.bin", "config.yaml", "environment.json"]),
]


@pytest.mark.parametrize("which", ["all", "first", "second"])
@pytest.mark.parametrize("status", [504, 500, 408])
def test_a_run_whose_answer_was_lost_is_made_once(server, gateway, said, which, status):
    seen = []

    def loses(request):
        seen.append(forwarded(request, server))
        if which != "all" and len(seen) - 1 != ["first", "second"].index(which):
            return seen[-1]
        return Answer(status, b"gateway time-out")

    gateway["runs/create"] = loses
    name = f"lost {which} {status}"
    _track(name)
    assert len(seen) == 2  # one request for each run
    assert _of(name, server) == WHOLE
    assert said == []


def test_a_run_that_was_not_made_is_asked_for_again(server, gateway, said):
    left = [503, 503]
    gateway["runs/create"] = lambda request: Answer(left.pop()) if left else None
    _track("asked again")
    assert _of("asked again", server) == WHOLE
    assert said == []


def test_a_request_that_is_carried_out_late_leaves_no_ghost(server, gateway, said):
    held = []

    def late(request):
        if len(held) < 2 and (not held or b"parentRunId" in request.body):
            held.append(request)
            return Answer(504)
        return None

    def carry_out(request):  # after the run was looked for in vain, and made again
        if b"FINISHED" in request.body:
            for each in held:
                forwarded(each, server)
            held.clear()
        return

    gateway["runs/create"] = late
    gateway["runs/update"] = carry_out
    _track("late")
    assert _of("late", server) == WHOLE
    client = MlflowClient(server)
    experiment = client.get_experiment_by_name("late").experiment_id
    assert len(client.search_runs([experiment], run_view_type=ViewType.DELETED_ONLY)) == 2


@pytest.mark.parametrize("status", [413, 404, 403, 502])
def test_artifacts_that_a_gateway_does_not_let_through_are_kept_and_all_else_is_delivered(
    server, gateway, said, status
):
    gateway["a.bin"] = lambda request: Answer(status, b"<html>no</html>") if request.method == "PUT" else None
    name = f"artifacts {status}"
    _track(name)
    _track(f"other {name}")
    settle()
    without = [WHOLE[0], (*WHOLE[1][:2], WHOLE[1][2][1:])]
    assert _of(name, server) == without
    assert _of(f"other {name}", server) == without
    assert not the_journal().waits
    assert {each.record.kind for each in the_journal().aside.records()} == {"files"}
    assert any("rejects" in line and str(status) in line for line in said)
    assert not syncing.deliver_pending()
    gateway.clear()
    assert syncing.deliver_pending()
    assert _of(name, server) == WHOLE
    assert _of(f"other {name}", server) == WHOLE


def test_a_connection_that_breaks_on_one_artifact_is_of_that_artifact(server, gateway, said):
    def breaks(request):
        if request.method == "PUT":
            raise ConnectionResetError("closed, as a gateway does before the end of what is too large")

    gateway["a.bin"] = breaks
    _track("breaks")
    settle()
    assert _of("breaks", server)[1][:2] == WHOLE[1][:2]
    assert not the_journal().waits
    gateway.clear()
    assert syncing.deliver_pending()
    assert _of("breaks", server) == WHOLE


@pytest.mark.parametrize(
    "way", ["at once", "not answered", pytest.param("too many for an answer", marks=pytest.mark.nightly)]
)
def test_curves_of_many_runs_are_those_of_each_run_asked_for_alone(gateway, monkeypatch, way):
    """With a password a server takes long over each request: 280 of them for forty runs."""
    asked = []
    gateway["get-history"] = lambda request: asked.append(request.path.partition("?")[0].rpartition("/")[2])
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    experiment = client.create_experiment(f"curves, {way}")
    made = [client.create_run(experiment).info.run_id for _ in range(3)]
    logged = {
        run_id: {0: {"a": 1.5 + at}, 1: {"a": float("inf") if at else -2.0, "b": 3.0}, 7: {"a": 4.0}}
        for at, run_id in enumerate(made)
    }
    logged[made[0]][7] = {}
    for run_id, by_round in logged.items():
        for step, metrics in by_round.items():
            for name, value in metrics.items():
                client.log_metric(run_id, name, value, step=step)
    if way == "not answered":
        gateway["get-history-bulk"] = lambda request: Answer(404, b"not here")
    if way == "too many for an answer":
        monkeypatch.setattr(curves, "_MOST_VALUES", 4)
    runs_now = [client.get_run(run_id) for run_id in made]
    found = curves_of(client, [(run, sorted(run.data.metrics)) for run in runs_now])
    alone = {run_id: {} for run_id in made}
    for run in runs_now:
        for name in run.data.metrics:
            for metric in client.get_metric_history(run.info.run_id, name):
                alone[run.info.run_id].setdefault(metric.step, {})[name] = metric.value
    assert found == alone
    assert [alone[made[1]][step]["a"] > 1 for step in (0, 1, 7)] == [True] * 3
    if way == "at once":
        assert asked[:2] == ["get-history-bulk"] * 2
        assert len(asked) == 2 + 6  # the six are the test's own
