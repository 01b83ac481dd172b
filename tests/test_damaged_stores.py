"""Databases that are damaged, and stores that go away while they are read: one line, and nothing lost."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from socket import create_server

import pytest
from mlflow.exceptions import MlflowException
from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, temporary_settings

from federated.forecast.overheads import overheads as remembered
from federated.foundation.errors import BadInput
from federated.report import RunResult
from federated.study.study import StudyConfig
from flows import overheads
from flows.prefect_runtime import embedded_server
from tasks.tracking.delivery import messages
from tasks.tracking.reading.search import study_names
from tasks.tracking.server.access import require_store
from tasks.tracking.server.failures import answered, is_away
from tasks.tracking.server.store import connect, experiment_id
from tasks.tracking.server.ui import serve_ui
from tasks.tracking.studies import resuming, syncing
from tasks.tracking.studies.comparison import compare_again
from tests.conftest import Answer, serving

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
GARBAGE = b"this is no database, whatever its name says" * 30
STUDY = {
    "name": "gone",
    "base": {"dataset": "digits", "model": "logistic", "clients": 4, "rounds": 1},
    "seeds": [0],
}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(messages, "_listener", lines.append)
    return lines


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Point at an MLflow that answers every request with a status and a body."""
    with ExitStack() as servers:

        def start(status: int, body: bytes) -> str:
            uri = servers.enter_context(serving(lambda request: Answer(status, body)))
            monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
            monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
            return uri

        yield start


def damage(database: Path, table: str) -> None:
    """Overwrite the page on which a table begins: the file opens, and reading the table fails."""
    with sqlite3.connect(database) as opened:
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = opened.execute("PRAGMA page_size").fetchone()
        (page,) = opened.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    opened.close()
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xfe" * size)


@pytest.fixture
def damaged(used_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that opens, and whose table of experiments cannot be read."""
    experiment_id(connect(), "some")
    other = tmp_path / "damaged.db"
    shutil.copy(used_home / "mlflow.db", other)
    damage(other, "experiments")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other}")


@pytest.mark.usefixtures("damaged")
def test_a_damaged_table_is_a_store_that_is_away():
    """So that training goes on, and what MLflow should hear is kept for the day when it is mended."""
    with pytest.raises(MlflowException) as caught:
        study_names()
    assert is_away(caught.value)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, b""),
        (400, b'{"error_code": "BAD_REQUEST", "message": "(sqlite3.DatabaseError) malformed"}'),
        (400, b'{"error_code": "BAD_REQUEST", "message": "(psycopg2.InternalError) could not read block 7"}'),
        (500, b'{"error_code": "INTERNAL_ERROR", "message": "Detected out-of-date database schema"}'),
    ],
)
def test_a_store_that_goes_away_while_it_is_compared_or_gone_on_with_is_said_in_one_line(
    home, fails, status, body
):
    uri = fails(status, body)
    for ask in (
        lambda: compare_again(["some"]),
        lambda: resuming.go_on_with_study(StudyConfig.model_validate(STUDY)),
        lambda: resuming.finished_before("0" * 32, []),
    ):
        with pytest.raises(BadInput, match=f"^MLflow at {uri} does not answer any more") as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_what_mlflow_refuses_is_no_store_that_is_away(home, fails):
    fails(400, b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "no such filter"}')
    with pytest.raises(MlflowException, match="no such filter"), answered("somewhere"):
        study_names()


@pytest.mark.parametrize(
    ("content", "expected"),
    [(GARBAGE, "file is not a database"), ("0123456789ab", "another version of MLflow made it")],
)
def test_sync_says_in_one_line_that_the_database_cannot_be_used(home, said, content, expected, monkeypatch):
    home.mkdir(exist_ok=True)
    if isinstance(content, bytes):
        (home / "mlflow.db").write_bytes(content)
    else:
        connect()
        other = home / "other"
        other.mkdir()
        shutil.copy(home / "mlflow.db", other)
        monkeypatch.setenv("FEDSTUDY_HOME", str(other))
        monkeypatch.delenv("MLFLOW_TRACKING_URI")  # where MLflow keeps what it was told
        with sqlite3.connect(other / "mlflow.db") as database:
            database.execute("UPDATE alembic_version SET version_num = ?", (content,))
    assert not syncing.deliver_pending()
    assert len(said) == 1
    assert expected in said[0]
    assert "pending records stay in" in said[0]


def test_a_server_is_no_database_whose_ui_can_be_served(home, fails):
    uri = fails(200, b'{"experiments": []}')
    with pytest.raises(BadInput, match=f"MLFLOW_TRACKING_URI is the server {uri}, .*open that address"):
        serve_ui(5000)


def test_a_port_that_another_program_has_is_said_before_the_ui_starts(home):
    with create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(BadInput, match=f"^--port {port}: Address already in use; choose a free one"):
            serve_ui(port)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        pytest.param(
            "garbage", r"\(sqlite3.DatabaseError\) file is not a database", marks=pytest.mark.nightly
        ),
        pytest.param(
            "newer", "Can't locate revision identified by '0123456789ab'", marks=pytest.mark.nightly
        ),
    ],
)
def test_a_database_that_the_embedded_server_cannot_use_is_said_in_one_line(
    home, monkeypatch, capfd, made, expected
):
    home.mkdir(exist_ok=True)
    file = home / "prefect.db"
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", f"sqlite+aiosqlite:///{file}")
    if made == "garbage":
        file.write_bytes(GARBAGE)
    else:
        with sqlite3.connect(file) as database:
            database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
            database.execute("INSERT INTO alembic_version VALUES ('0123456789ab')")
    before = file.stat().st_size
    with (
        temporary_settings(
            {PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 300}
        ),  # the machine may be busy
        embedded_server.embedded_server() as server,
        pytest.raises(BadInput, match=f"did not start: {expected}; .*prefect.db.*move it away") as caught,
    ):
        server.wait()
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
    assert file.stat().st_size == before  # nobody has made another one in its place


# Dies as by kill -9 right after MLflow's migrations have made one of their tables, before they note which they made.
_KILLED_WHILE_TABLES_ARE_MADE = """
import os, sqlalchemy
@sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, "after_cursor_execute")
def die(connection, cursor, statement, *_):
    if "CREATE TABLE secrets" in statement:
        os._exit(9)
import sys
sys.prefix = "an installation that kept no tables"
from tasks.tracking.server.store import connect
connect()
"""


@pytest.mark.parametrize("place", ["home", pytest.param("relative", marks=pytest.mark.nightly)])
@pytest.mark.nightly
def test_a_process_that_is_killed_while_it_makes_the_tables_leaves_none(home, tmp_path, monkeypatch, place):
    home.mkdir(exist_ok=True)
    if place == "relative":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.db")
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.run([sys.executable, "-c", _KILLED_WHILE_TABLES_ARE_MADE], env=environment)
    assert process.returncode == 9
    require_store()
    assert study_names() == []
    made = home / "mlflow.db" if place == "home" else tmp_path / "runs.db"
    left = {file.name for file in made.parent.iterdir()} - {made.name, f"{made.name}.lock", "home"}
    assert (made.stat().st_size > 0, left) == (True, set())


def test_what_passes_between_runs_goes_with_each_of_them(home):
    """Three runs of 9, 3 and 3 s by their own clocks, of which 8, 2 and 2 beside their rounds, took 18 s together."""
    found = [
        RunResult(
            "s",
            "a",
            seed,
            "FINISHED",
            {},
            ((0, {"accuracy": 0.5}), (1, {"accuracy": 0.6, **times})),
            "accuracy",
        )
        for seed, times in enumerate(
            {"system/overhead_seconds": beside, "system/run_seconds": beside + 1}
            for beside in (8.0, 2.0, 2.0)
        )
    ]
    overheads.remember_overheads(found, 10.0, (5.0, 2.0), 1.0, 1.0, 18.0)
    known = remembered()
    assert (known.run + known.segment, known.first_run) == pytest.approx((3.0, 6.0))


def test_what_a_study_took_that_cannot_be_kept_costs_no_study(home, monkeypatch):
    (home / "overheads.json").mkdir(parents=True)
    lines = []
    monkeypatch.setattr(overheads, "notify", lines.append)
    history = ((0, {"accuracy": 0.5}), (1, {"accuracy": 0.6, "system/overhead_seconds": 1.0}))
    result = RunResult("study", "arm", 0, "FINISHED", {}, history, "accuracy")
    overheads.remember_overheads([result], 10.0, (5.0, 2.0), 1.0)
    assert len(lines) == 1
    assert "is not kept for the next forecast" in lines[0]
