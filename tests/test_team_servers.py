"""The servers of docs/servers.md: PostgreSQL, MLflow and Prefect with passwords, and a study through all of them."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.team import USER, Team, team, why_not_here

STUDY = {
    "name": "circle",
    "base": {"dataset": "digits", "model": "mlp(hidden=[32])", "clients": 10, "rounds": 400},
    "seeds": [0, 1],
}
_SECONDS = 900.0


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    if why := why_not_here():
        pytest.skip(why)
    with team(tmp_path_factory.mktemp("team")) as found:
        yield found


def _until(answer: Callable[[], Any], servers: Team) -> Any:
    """The answer, once there is one; servers may be away meanwhile."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        try:
            if found := answer():
                return found
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise TimeoutError(servers.log("worker").read_text()[-4000:])


def _mlflow(servers: Team, path: str, **asked: Any) -> dict[str, Any]:
    """What MLflow's HTTP API says to the user who runs studies."""
    login = (USER, servers.secrets[USER])
    with httpx.Client(auth=login, base_url=f"{servers.mlflow}/api/2.0/mlflow/", timeout=60) as client:
        answer = client.post(path, json=asked) if asked else client.get(path)
    answer.raise_for_status()
    content: dict[str, Any] = answer.json()
    return content


def _prefect(servers: Team, path: str, **asked: Any) -> Any:
    login = ("team", servers.secrets["prefect"])
    with httpx.Client(auth=login, base_url=f"{servers.prefect}/", timeout=60) as client:
        answer = client.post(path, json=asked) if asked else client.get(path)
    answer.raise_for_status()
    return answer.json()


def _runs(servers: Team) -> list[dict[str, Any]]:
    experiments = _mlflow(servers, "experiments/search", max_results=100).get("experiments", [])
    ids = [each["experiment_id"] for each in experiments if each["name"] == "circle"]
    return _mlflow(servers, "runs/search", experiment_ids=ids, max_results=100).get("runs", []) if ids else []


def _tags(run: dict[str, Any]) -> dict[str, str]:
    return {each["key"]: each["value"] for each in run["data"]["tags"]}


def _trains(servers: Team) -> bool:
    """Whether a run of the study has logged some of its rounds."""
    children = [run for run in _runs(servers) if _tags(run)["fedstudy.kind"] == "run"]
    return any(each["step"] > 0 for run in children for each in run["data"].get("metrics", []))


@pytest.mark.nightly
@pytest.mark.slow
def test_a_study_by_a_worker_loses_nothing_where_postgresql_is_restarted_in_the_middle(servers: Team) -> None:
    servers.prefect_says("work-pool", "create", "fedstudy", "--type", "process")
    servers.prefect_says("deploy", "--name", "ad-hoc")
    servers.start_worker()
    asked = ("--param", f"study={json.dumps(STUDY)}", "--tag", "circle")
    said = servers.prefect_says("deployment", "run", "federated-study/ad-hoc", *asked)
    flow_run = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", said)
    assert flow_run is not None
    _until(lambda: _trains(servers), servers)
    servers.stop_postgres()
    time.sleep(10)
    servers.start_postgres()

    def ended() -> Any:
        state = _prefect(servers, f"flow_runs/{flow_run[0]}")["state"]
        return state if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

    state = _until(ended, servers)
    assert state["type"] == "COMPLETED", (state, servers.log("worker").read_text()[-4000:])
    _require_whole(servers, flow_run[0])
    _require_no_secret_is_seen(servers, flow_run[0])


def _require_whole(servers: Team, flow_run: str) -> None:
    """All is there once, and nothing runs any more."""
    found = _runs(servers)
    (parent,) = [run for run in found if _tags(run)["fedstudy.kind"] == "study"]
    children = [run for run in found if _tags(run)["fedstudy.kind"] == "run"]
    assert {run["info"]["status"] for run in found} == {"FINISHED"}
    assert sorted(_tags(run)["seed"] for run in children) == ["0", "1"]
    assert _tags(parent)["prefect.flow_run"] == flow_run
    assert "circle" in _tags(parent)["verdict"]
    for run in children:
        asked = f"run_id={run['info']['run_id']}&metric_key=communication%2Fuplink_bytes&max_results=25000"
        values = _mlflow(servers, f"metrics/get-history?{asked}")["metrics"]
        assert sorted(each["step"] for each in values) == [*range(1, 401)]
    with httpx.Client(auth=(USER, servers.secrets[USER]), base_url=servers.mlflow, timeout=60) as client:
        place = parent["info"]["artifact_uri"].removeprefix("mlflow-artifacts:")
        page = client.get(f"/api/2.0/mlflow-artifacts/artifacts{place}/report.html")
    assert page.status_code == 200
    assert "circle" in page.text
    shown = _prefect(servers, "artifacts/filter", artifacts={"flow_run_id": {"any_": [flow_run]}})
    assert any("verdict" in each["key"] for each in shown)
    alive = {"state": {"type": {"any_": ["RUNNING", "PENDING", "SCHEDULED"]}}}
    left = _prefect(servers, "flow_runs/filter", flow_runs=alive)
    assert [each["name"] for each in left] == []


def _require_no_secret_is_seen(servers: Team, flow_run: str) -> None:
    """Not in logs, not in MLflow, not in Prefect, not on a command line."""
    logs = {name: servers.log(name).read_text() for name in servers.processes}
    said = _prefect(servers, "logs/filter", logs={"flow_run_id": {"any_": [flow_run]}}, limit=200)
    logs |= {"Prefect's log": json.dumps(said), "MLflow's runs": json.dumps(_runs(servers))}
    logs["Prefect's flow run"] = json.dumps(_prefect(servers, f"flow_runs/{flow_run}"))
    logs["ps"] = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    seen = [
        (where, name)
        for where, text in logs.items()
        for name, secret in servers.secrets.items()
        if secret in text
    ]
    assert not seen


@pytest.mark.nightly
@pytest.mark.slow
def test_neither_server_answers_without_a_password_and_users_do_not_see_each_others_runs(
    servers: Team,
) -> None:
    for address in (f"{servers.mlflow}/api/2.0/mlflow/experiments/search", f"{servers.prefect}/flows/filter"):
        assert httpx.post(address, json={"max_results": 1}, timeout=60).status_code == 401
        wrong = httpx.post(address, json={"max_results": 1}, auth=(USER, "wrong"), timeout=60)
        assert wrong.status_code == 401
    _mlflow(servers, "experiments/create", name="mine")
    new = {**servers.as_admin, "NEW_PASSWORD": servers.secrets["key"]}
    root = Path(__file__).parents[1]
    subprocess.run(["servers/mlflow-user.sh", "other"], cwd=root, env=new, check=True, timeout=120)
    asked = f"{servers.mlflow}/api/2.0/mlflow/experiments/get-by-name?experiment_name=mine"
    assert httpx.get(asked, auth=("other", servers.secrets["key"]), timeout=60).status_code == 403
    assert httpx.get(asked, auth=(USER, servers.secrets[USER]), timeout=60).status_code == 200
