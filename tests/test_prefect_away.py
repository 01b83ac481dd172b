"""A Prefect that goes away in the middle: the study goes on with a server of its own, and nothing of it is lost."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest
from httpx import ConnectError
from prefect.settings import (
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    temporary_settings,
)

from federated.foundation.errors import BadInput
from federated.study.study import Run
from flows.prefect_runtime import embedded_server, prefect_away
from flows.prefect_runtime.prefect_away import Api, PrefectAway, despite_prefect
from flows.startup.beginning import command_begins, study_is_open
from flows.terminal.display import Display
from flows.terminal.progress import Progress
from flows.terminal.screen import Screen
from tasks.tracking.server.store import connect
from tests.conftest import Answer, Request, config_of, forwarded, runs_of, serving

ROOT = Path(__file__).parents[1]
STUDY = {
    "name": "gone",
    "base": {"dataset": "digits", "model": "logistic", "clients": 4, "rounds": 2},
    "seeds": [0, 1],
}
API = Api("http://127.0.0.1:9/api", lambda: None, lambda: "")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(prefect_away, "notify", lines.append)
    return lines


def _away(config: object, workers: int, resume: bool) -> str:
    raise ConnectError("refused")


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("workers", [1, 2])
def test_a_study_goes_on_where_its_prefect_does_not(used_home, new_databases, tmp_path, workers):
    """A gateway before a real server answers 503 from the end of the first run on."""
    file = tmp_path / "study.yaml"
    file.write_text(json.dumps(STUDY), encoding="utf-8")
    states: list[str] = []

    def until_the_first_run_ends(request: Request) -> Answer:
        if request.path.endswith("/set_state") and b"COMPLETED" in request.body:
            states.append(request.path)
        return Answer(503) if states else forwarded(request, f"http://127.0.0.1:{server.port}")

    shutil.copyfile(new_databases / "prefect.db", tmp_path / "prefect.db")
    database = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{tmp_path / 'prefect.db'}"}
    with (
        temporary_settings({PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 300}),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv(*database.popitem())
        with embedded_server.embedded_server() as server, serving(until_the_first_run_ends) as gateway:
            server.wait()
            environment = {
                **os.environ,
                "PREFECT_API_URL": f"{gateway}/api",
                "PREFECT_API_AUTH_STRING": server.secret,
                "PREFECT_HOME": str(tmp_path / "prefect"),
                "PREFECT_CLIENT_MAX_RETRIES": "1",  # in place of two, of which each waits longer
            }
            command = [sys.executable, "-m", "flows", "run", str(file), "--workers", str(workers)]
            ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert states
    (line,) = [line for line in ended.stdout.splitlines() if "Prefect at" in line]
    assert line.startswith(f"Prefect at {gateway}/api does not answer any more: ")
    assert "503" in line
    assert line.endswith("; the study goes on with a Prefect server of its own, which ends with it")
    found = runs_of(connect(), "gone")
    assert [run.info.status for run in found] == ["FINISHED"] * 3
    assert "failure" not in found[0].data.tags
    for run in found[1:]:
        steps = [each.step for each in connect().get_metric_history(run.info.run_id, "train/loss")]
        assert Counter(steps) == {1: 1, 2: 1}


def test_where_no_other_prefect_starts_the_study_ends_with_what_was_wrong_first(monkeypatch, said, home):
    def does_not_start(server: object) -> None:
        raise BadInput("no space")

    monkeypatch.setattr(embedded_server.EmbeddedServer, "wait", does_not_start)
    with pytest.raises(PrefectAway) as caught:
        despite_prefect(_away, API, None, 1, False)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "Prefect at http://127.0.0.1:9/api does not answer any more: refused; "
        "`run ... --resume` goes on from what is done"
    )
    assert len(said) == 1


@pytest.mark.parametrize("opens", [False, True])
@pytest.mark.parametrize("resume", [False, True])
def test_a_study_goes_on_in_its_own_run_and_not_in_an_older_one(monkeypatch, said, home, opens, resume):
    asked: list[bool] = []

    def study(config: object, workers: int, resume: bool) -> str:
        asked.append(resume)
        if opens:
            study_is_open()
        return _away(config, workers, resume)

    monkeypatch.setattr(prefect_away, "_another_server", lambda away: nullcontext())
    command_begins()
    with pytest.raises(ConnectError):
        despite_prefect(study, API, None, 1, resume)  # type: ignore[arg-type]
    assert asked == [resume, resume or opens]


def test_the_other_server_is_waited_for_as_long_as_prefect_itself_waits(monkeypatch, said, home):
    retries: list[int] = []

    def study(config: object, workers: int, resume: bool) -> str:
        retries.append(PREFECT_CLIENT_MAX_RETRIES.value())
        return "done" if retries[1:] else _away(config, workers, resume)

    monkeypatch.setattr(embedded_server.EmbeddedServer, "wait", lambda server: None)
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 2}):
        assert despite_prefect(study, API, None, 1, False) == "done"  # type: ignore[arg-type]
    assert retries == [2, 5]


def test_an_error_of_the_study_itself_is_raised_as_it_is(said):
    def wrong(config: object, workers: int, resume: bool) -> str:
        raise BadInput("rounds: 0")

    with pytest.raises(BadInput, match="rounds: 0"):
        despite_prefect(wrong, API, None, 1, False)  # type: ignore[arg-type]
    assert said == []


def test_a_study_with_its_prefect_is_called_once_as_it_was_asked_for(said):
    called: list[tuple[object, ...]] = []
    for resume in (False, True):
        despite_prefect(lambda *asked: called.append(asked), API, None, 2, resume)  # type: ignore[arg-type]
    assert called == [(None, 2, False), (None, 2, True)]
    assert said == []


def test_a_run_that_is_said_twice_is_shown_and_counted_once(capsys):
    runs = [Run("a", config_of(rounds=1)), Run("b", config_of(rounds=1))]
    display = Display("study", runs, Screen(width=200))
    said = [(0, "failed", "why"), (0, "finished", "again"), (0, "finished", "before"), (1, "finished", "x")]
    for at, status, message in said:
        display(Progress(runs[at].name, status, 1, 1, message=message))  # type: ignore[arg-type]
    assert capsys.readouterr().out.splitlines() == [
        "failed 1/2 a · seed 0: why",
        "done 1/2 a · seed 0: again",
        "done 2/2 b · seed 0: x",
    ]
