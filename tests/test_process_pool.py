"""Processes that die while they work."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.prefect_runtime.prefect_away import (
    PrefectAway,
    let_refusals_be_sent,
    raise_where_prefect_is_away,
)
from flows.prefect_runtime.process_pool import Processes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.nightly,
    pytest.mark.usefixtures("prefect_server", "home"),
]


@task(cache_policy=NO_CACHE)
def _works(folder: str, dies: int) -> str:
    """dies: in so many tries."""
    Path(folder, str(os.getpid())).touch()
    if dies and len(list(Path(folder).iterdir())) <= dies:
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def _nothing() -> None:
    pass


@pytest.mark.parametrize("done_all_the_same", [pytest.param(True, marks=pytest.mark.nightly), False])
def test_work_whose_process_died_is_done_again_unless_it_was_done(tmp_path, done_all_the_same):
    asked, ended = [], []

    def died(at):
        asked.append(at)
        return done_all_the_same

    folders = [tmp_path / "dies", tmp_path / "lives"]
    for folder in folders:
        folder.mkdir()
    arguments = [{"folder": str(folder), "dies": 2 * (folder.name == "dies")} for folder in folders]
    with Processes(2, _nothing, (), died, ended.append) as processes:
        states = processes.run(_works, arguments, again={})
    assert states[1].is_completed()
    assert (states[0] is not None) is done_all_the_same
    tries = 1 if done_all_the_same else 2
    assert [len(list(folder.iterdir())) for folder in folders] == [tries, 1]
    assert asked == [0] * tries
    assert ended == [states[1]]


@pytest.mark.nightly
def test_a_process_that_dies_between_two_runs_costs_no_try(tmp_path):
    folders = [tmp_path / "before", tmp_path / "dies once"]
    for folder in folders:
        folder.mkdir()
    with Processes(2, _nothing, (), lambda at: False, lambda state: None) as processes:
        processes.run(_works, [{"folder": str(folders[0]), "dies": 0}], again={})
        (idle,) = [int(file.name) for file in folders[0].iterdir()]
        os.kill(idle, signal.SIGKILL)
        while idle in [child.pid for child in multiprocessing.active_children()]:
            pass
        (state,) = processes.run(_works, [{"folder": str(folders[1]), "dies": 1}], again={})
    assert state is not None
    assert state.is_completed()
    assert len(list(folders[1].iterdir())) == 2


def test_what_is_raised_of_a_final_state_ends_all_others(tmp_path):
    def ended(state):
        raise ConnectionError(state.name)

    folders = [tmp_path / str(at) for at in range(3)]
    for folder in folders:
        folder.mkdir()
    with (
        pytest.raises(ConnectionError, match="Completed"),
        Processes(1, _nothing, (), lambda at: False, ended) as processes,
    ):
        processes.run(_works, [{"folder": str(folder), "dies": 0} for folder in folders], again={})
    assert [len(list(folder.iterdir())) for folder in folders] == [1, 0, 0]


@task(cache_policy=NO_CACHE)
def _is_refused(by_prefect: bool) -> str:
    """As by a server that is too busy; with Prefect's own kind of error or that of its client."""
    from httpx import HTTPStatusError, Request, Response
    from prefect.exceptions import PrefectHTTPStatusError

    kind = PrefectHTTPStatusError if by_prefect else HTTPStatusError
    raise kind("503 at /flow_runs/", request=Request("POST", "http://x/flow_runs/"), response=Response(503))


@pytest.mark.parametrize("by_prefect", [True, False])
def test_a_refusal_of_prefect_in_another_process_is_said_as_such(by_prefect):
    with (
        pytest.raises(PrefectAway, match="503 at /flow_runs/"),
        Processes(1, let_refusals_be_sent, (), lambda at: False, raise_where_prefect_is_away) as processes,
    ):
        processes.run(_is_refused, [{"by_prefect": by_prefect}], again={})
