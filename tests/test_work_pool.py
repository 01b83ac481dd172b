"""Runs of a study on the workers of a Prefect work pool: what is sent, tried again, cancelled and refused."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from socket import socket
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.study.study import Run, StudyConfig, read_study
from flows.work_pool import pool as pools
from flows.work_pool.pool import Order, Pool, refuse_own_pool, require_pool
from flows.work_pool.pooled_run import received, sent
from flows.work_pool.workers import pool_named, workers_in
from tasks.tracking.runs import runs as tracking
from tasks.tracking.studies.resuming import is_wanted
from tests.conftest import config_of, with_databases

ROOT = Path(__file__).parents[1]


def test_workers_are_a_number_or_the_name_of_a_pool() -> None:
    assert (workers_in(2), workers_in("2"), workers_in("pool: north ")) == (2, 2, "pool:north")
    assert (pool_named(2), pool_named("pool:north")) == (None, "north")
    for wrong in ("0", 0, -1, "many", "pool:", "pool: ", "1.5", "", True):
        with pytest.raises(BadInput, match="must be a number of runs at a time, at least 1, or pool:NAME"):
            workers_in(wrong)


def test_a_run_arrives_as_it_was_sent(home: Path) -> None:
    run = Run("arm", config_of(partitioner=["dirichlet(0.3)", "noise(0.1)"]), 3, {"partitioner": "dirichlet"})
    assert received(sent(run)) == run


def test_a_worker_with_another_mlflow_refuses(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = sent(Run("arm", config_of()))
    monkeypatch.setenv("FEDSTUDY_HOME", str(home / "elsewhere"))
    with pytest.raises(
        BadInput, match=r"this worker records at sqlite:.*elsewhere.*, and the study at sqlite:"
    ):
        received(order)


def test_code_of_a_persons_own_is_the_same_at_the_worker_or_refused(home: Path, tmp_path: Path) -> None:
    source = (
        "from torch import nn\ndef net(input_shape, num_outputs):\n    return nn.Linear(4, num_outputs)\n"
    )
    (tmp_path / "nets.py").write_text(source)
    base = {"dataset": "linear", "model": "nets:net", "clients": 3, "rounds": 1}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"name": "own", "base": base}))
    (run,) = read_study(tmp_path / "study.yaml").runs()
    order = sent(run)
    assert received(order) == run
    (tmp_path / "nets.py").write_text(source + "# changed\n")
    with pytest.raises((BadInput, OwnCodeFailed), match="nets:net is another code on this worker"):
        received(order)


def test_a_worker_with_another_code_of_this_tool_refuses(home: Path) -> None:
    order = sent(Run("arm", config_of()))
    with pytest.raises(
        BadInput, match=r"the code of fedstudy in .* on this worker is not that with which the study"
    ):
        received({**order, "code": "of another commit"})


def test_a_worker_needs_a_permission_of_its_own_for_code_by_name(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDSTUDY_OWN_CODE", "statsmodels")
    base = {"dataset": "linear", "model": "statsmodels.api:OLS", "clients": 3, "rounds": 1}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"name": "own", "base": base}))
    (run,) = read_study(tmp_path / "study.yaml").runs()
    order = sent(run)
    monkeypatch.delenv("FEDSTUDY_OWN_CODE")
    with pytest.raises(BadInput, match="FEDSTUDY_OWN_CODE of its own"):
        received(order)


def test_a_study_on_a_worker_does_not_send_its_runs_to_the_same_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    flow_run = SimpleNamespace(work_pool_name="north")
    monkeypatch.setattr(pools.FlowRunContext, "get", lambda: SimpleNamespace(flow_run=flow_run))
    refuse_own_pool("south")
    with pytest.raises(BadInput, match="a worker of the work pool 'north' runs this study"):
        refuse_own_pool("north")


@pytest.mark.slow
def test_an_old_order_is_not_run_any_more(used_home: Path) -> None:
    study = StudyConfig.model_validate({"name": "old", "base": config_of().model_dump(), "seeds": [0, 1]})
    parent = tracking.open_study(study)
    first, second = study.runs()
    run_id = tracking.open_run(first, "old", parent)
    assert is_wanted(first, parent)
    tracking.end_run(run_id, "FINISHED")
    assert [is_wanted(run, parent) for run in (first, second)] == [False, True]
    tracking.end_run(parent, "KILLED")
    assert not is_wanted(second, parent)


@pytest.fixture
def client(prefect_server: None) -> Iterator[Any]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    with get_client(sync_client=True) as found:
        with suppress(ObjectAlreadyExists):
            found.create_work_pool(WorkPoolCreate(name="north", type="process"))
        yield found


ORDERS = [Order(name, {"arm": name}) for name in ("one", "two", "three")]


class Worker(threading.Thread):
    """Gives flow runs of the pool the states of a script, as a worker does. script: name -> states of each try.

    began: what the pool says has begun; a run stays in its first state until it is there.
    """

    def __init__(
        self, client: Any, script: dict[str, list[list[Any]]], began: list[int] | None = None
    ) -> None:
        super().__init__(daemon=True)
        self.began, self.all = began, 0
        self.client, self.script, self.taken = client, script, list[tuple[str, bool]]()
        self.over = False

    def run(self) -> None:
        from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
        from prefect.client.schemas.objects import StateType

        scheduled = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
        while not self.over:
            for flow_run in self.client.read_flow_runs(flow_run_filter=FlowRunFilter(state=scheduled)):
                if tries := self.script.get(flow_run.name):
                    self.taken.append((flow_run.name, flow_run.parameters["resume"]))
                    for state in tries.pop(0):
                        self.client.set_flow_run_state(flow_run.id, state, force=True)
                        self.all += state.is_running()
                        while self.began is not None and len(self.began) < self.all and not self.over:
                            time.sleep(0.05)
            time.sleep(0.05)


@pytest.mark.slow
def test_runs_whose_process_died_are_sent_once_more_and_resumed(
    client: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.states import Completed, Crashed, Failed, Running

    monkeypatch.setattr(pools, "_SECONDS", 0.05)
    script = {
        "one": [[Running(), Completed()]],
        "two": [[Running()], [Running(), Failed(message="diverged")]],  # its first machine is lost
        "three": [[Running(), Crashed()], [Running(), Crashed()]],
    }
    began, ended, died, sends = list[int](), list[int](), list[int](), list[int]()
    worker = Worker(client, script, began)
    worker.start()
    pool = Pool(
        "north",
        began.append,
        lambda at, state: ended.append(at),
        lambda at, why: bool(died.append(at)),
        pytest.fail,
        sends.append,
        lambda at: at == 1 and sends.count(at) == 1,
    )
    states = pool.run(ORDERS, "study", "0" * 32, resume=False)
    worker.over = True
    worker.join()
    assert [state.name for state in states] == ["Completed", "Failed", "Crashed"]
    assert states[2].message == "its process died; the log of its flow run in Prefect may say more"
    assert (sorted(died), sorted(began)) == ([1, 2, 2], [0, 1, 1, 2, 2])
    assert set(ended) == {0, 1, 2}
    assert sorted(sends) == [0, 1, 1, 2, 2]
    assert sorted(worker.taken) == [
        ("one", False),
        ("three", False),
        ("three", True),
        ("two", False),
        ("two", True),
    ]


@pytest.mark.slow
def test_an_interrupt_cancels_what_is_under_way_and_what_waits(
    client: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.states import Running

    monkeypatch.setattr(pools, "_SECONDS", 0.05)
    worker = Worker(client, {"one": [[Running()]]})
    worker.start()

    def interrupt(at: int) -> None:
        raise KeyboardInterrupt

    pool = Pool("north", interrupt, lambda at, state: None, lambda at, why: False, pytest.fail)
    with pytest.raises(KeyboardInterrupt):
        pool.run(ORDERS, "study", "0" * 32, resume=False)
    worker.over = True
    worker.join()
    names = {client.read_flow_run(each).state.name for each in pool._at}
    assert names == {"Cancelling", "Cancelled"}

    # Nobody works there any more, so the next start ends what this one left; one of its own runs is then deleted.
    monkeypatch.setattr(pools, "_SECONDS_TO_CANCEL", 0.0)
    left, why, earlier = list[list[str]](), list[str](), list(pool._at)
    again = Pool(
        "north", interrupt, lambda at, state: None, lambda at, said: bool(why.append(said)), left.append
    )

    def delete() -> None:
        while not again._at:
            time.sleep(0.05)
        client.delete_flow_run(next(iter(again._at)))

    deleting = threading.Thread(target=delete, daemon=True)
    deleting.start()
    (state,) = again.run(ORDERS[1:2], "study", "0" * 32, resume=True)
    assert {client.read_flow_run(each).state.name for each in earlier} == {"Cancelled"}
    assert left == [["one"]]
    assert (state.name, state.message, why) == (
        "Cancelled",
        "its flow run was deleted in Prefect",
        [state.message],
    )


@pytest.mark.slow
def test_a_pool_that_is_not_there_is_said_with_those_that_are(client: Any) -> None:
    assert require_pool("north") == 1  # nobody works in it yet
    with pytest.raises(BadInput, match=r"has no work pool 'south'; there are: .*north"):
        require_pool("south")


@pytest.mark.slow
@pytest.mark.nightly
def test_two_workers_of_a_pool_give_the_numbers_of_one_process(
    tmp_path: Path, new_databases: Path, study: Any
) -> None:
    """From the shell, with a server and two workers in processes of their own."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with_databases(tmp_path / "prefect", new_databases)
    api = f"http://127.0.0.1:{port}/api"
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_API_URL": api}
    environment |= {"FEDSTUDY_HOME": str(tmp_path / "var"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    path = study({"axes": {"local.learning_rate": [0.1, 0.2]}})
    prefect = [sys.executable, "-m", "prefect"]

    def call(*command: str) -> str:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    server = [*prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    started = [subprocess.Popen(server, cwd=ROOT, env=environment)]
    try:
        deadline = time.monotonic() + 120
        while subprocess.run(["curl", "-sf", f"{api}/health"], capture_output=True).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        call(*prefect, "work-pool", "create", "north", "--type", "process")
        for name in "ab":
            worker = [*prefect, "worker", "start", "--pool", "north", "--name", name, "--limit", "1"]
            started.append(subprocess.Popen(worker, cwd=ROOT, env=environment))
        pooled = call(sys.executable, "-m", "flows", "run", str(path), "--workers", "pool:north")
        alone = call(sys.executable, "-m", "flows", "run", str(path))
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(timeout=60)
    assert "done 2/2" in pooled
    arms = [text[text.index("small: mean") :].partition("Test accuracy is")[0] for text in (pooled, alone)]
    assert arms[0] == arms[1]
