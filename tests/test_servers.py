"""Servers that are not there, let nobody in, or are something else: one line, and quickly."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from socket import create_server, socket
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from federated.foundation.errors import BadInput
from flows.prefect_runtime.runtime import prefect_api
from tasks.tracking.server.access import require_store
from tasks.tracking.server.store import connect
from tests.conftest import Answer, Request, default_signals, serving

ROOT = Path(__file__).parents[1]
LOGIN = json.dumps({"detail": "Unauthorized"})
PAGE = "<!doctype html><html><body>hello</body></html>"
ANSWERS = {
    "401": (401, LOGIN, r"401 Unauthorized.*it wants credentials; set .*{credential}"),
    "403": (403, '{"message": "not yours"}', r"403 Forbidden \(not yours\): .*{credential}"),
    "403 of a name": (
        403,
        "Invalid Host header - possible",
        r"--allowed-hosts of the server lacks.*{address}$",
    ),
    "404": (404, "", r"404 Not Found: something else .* check {address}$"),
    "405 of a page": (405, PAGE, r"405 Method Not Allowed with a web page: .*{address}$"),
    "500": (500, "Internal Server Error", r"500 Internal Server Error.*its own log says why$"),
    "503 for an hour": (503, "", r"503 Service Unavailable: its own log says why$"),
    "page": (200, PAGE, r"not .*check {address}$"),
    "other JSON": (200, '{"status": "ok"}', r"not .*check {address}$"),
    "nothing": (200, "", r"not .*check {address}$"),
}
NAMES = {
    "MLflow": {"address": "MLFLOW_TRACKING_URI", "credential": "MLFLOW_TRACKING_TOKEN"},
    "Prefect": {"address": "PREFECT_API_URL", "credential": "PREFECT_API_KEY"},
}


@pytest.fixture
def serve() -> Iterator[Callable[[int, str], str]]:
    """Start a server that always says the same; its address."""
    with ExitStack() as servers:

        def start(status: int, body: str) -> str:
            def says(request: Request) -> Answer:
                healthy = request.path.endswith("/health")
                return Answer(200 if healthy else status, body.encode(), {"Retry-After": "3600"})

            return servers.enter_context(serving(says))

        yield start


@pytest.fixture
def ask(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str, str], pytest.ExceptionInfo[BadInput]]:
    """Point at a server of a kind, and ask whether it can be used."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    def ask(kind: str, url: str) -> pytest.ExceptionInfo[BadInput]:
        if kind == "MLflow":
            monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
            with pytest.raises(BadInput) as caught:
                require_store()
            return caught
        from prefect.settings import PREFECT_API_URL, temporary_settings

        with temporary_settings({PREFECT_API_URL: url}), pytest.raises(BadInput) as caught, prefect_api():
            pass
        return caught

    return ask


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("kind", NAMES)
def test_what_answers_is_said_in_one_line_that_names_the_variable(kind, answer, serve, ask):
    status, body, expected = ANSWERS[answer]
    caught = ask(kind, serve(status, body))
    assert caught.match(rf"^{kind} at http://127.0.0.1:\d+.*" + expected.format(**NAMES[kind]))
    assert "\n" not in str(caught.value)
    assert ("start it" in str(caught.value)) is False


@pytest.mark.parametrize("kind", NAMES)
def test_credentials_that_are_not_accepted_are_named_and_not_shown(kind, serve, ask, monkeypatch):
    monkeypatch.setenv(NAMES[kind]["credential"], "s3cret")
    url = serve(401, LOGIN).replace("//", "//someone:p4ssword@")
    caught = ask(kind, url)
    assert caught.match(f"it does not accept {NAMES[kind]['credential']}$")
    assert "s3cret" not in str(caught.value)
    assert "p4ssword" not in str(caught.value)


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:9", "does not answer: .*refused.*; start it, or unset {address}"),
        ("http://no-such-host.invalid", "does not answer: .*; start it, or unset {address}"),
        ("https://{plain}", "no TLS connection: .*{certificates}"),
    ],
)
def test_where_no_answer_comes(kind, url, expected, serve, ask):
    names = {
        **NAMES[kind],
        "certificates": "MLFLOW_TRACKING_SERVER_CERT_PATH"
        if kind == "MLflow"
        else "PREFECT_API_SSL_CERT_FILE",
    }
    plain = serve(200, "").removeprefix("http://")
    caught = ask(kind, url.format(plain=plain))
    assert caught.match(f"^{kind} at {url.format(plain=plain)}.*{expected.format(**names)}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", NAMES)
def test_a_server_that_hangs_is_given_up(kind, ask, monkeypatch):
    monkeypatch.setattr("tasks.tracking.server.access.SECONDS_TO_ANSWER", 0.2)
    monkeypatch.setattr("flows.prefect_runtime.runtime.SECONDS_TO_ANSWER", 0.2)
    with create_server(("127.0.0.1", 0)) as deaf:
        caught = ask(kind, f"http://127.0.0.1:{deaf.getsockname()[1]}")
    assert caught.match("does not answer: nothing within 10 s")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"this is no database, whatever its name says" * 30, "not a database"),
        (None, "unable to open database file"),
    ],
)
def test_a_database_that_cannot_be_read_is_said_in_one_line(home, content, expected):
    home.mkdir()
    if content is None:
        (home / "mlflow.db").mkdir()
    else:
        (home / "mlflow.db").write_bytes(content)
    with pytest.raises(
        BadInput, match=f"^MLflow's database mlflow.db in FEDSTUDY_HOME cannot be used: .*{expected}"
    ) as caught:
        require_store()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.usefixtures("used_home")
def test_a_database_of_another_version_is_said_with_the_way_on(home, tmp_path, monkeypatch):
    connect()
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(home / "mlflow.db", other)
    monkeypatch.setenv("FEDSTUDY_HOME", str(other))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # where MLflow keeps what it was told
    with sqlite3.connect(other / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '0123456789ab'")
    with pytest.raises(BadInput, match=r"another version of MLflow .*0123456789ab.*mlflow db upgrade"):
        require_store()


@pytest.mark.parametrize(
    "uri", ["postgresql://u:p4ss@127.0.0.1:9/x", "mysql://u:p4ss@127.0.0.1:9/x", "nosuch://x"]
)
def test_databases_that_are_not_there(home, uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(BadInput, match="MLFLOW_TRACKING_URI") as caught:
        require_store()
    assert "p4ss" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="there is no folder that nobody may write in")
@pytest.mark.parametrize("home_is", [pytest.param("read-only", marks=pytest.mark.nightly), "a file"])
def test_a_home_that_cannot_be_written_is_said_before_anything_starts(tmp_path, home_is):
    file = tmp_path / "file"
    file.touch()
    folder = Path("/sys/kernel") if home_is == "read-only" else file
    environment = {**os.environ, "FEDSTUDY_HOME": str(folder), "PREFECT_HOME": str(tmp_path / "prefect")}
    environment.pop("MLFLOW_TRACKING_URI", None)
    for command in (["run", "studies/quickstart.yaml"], ["compare", "quickstart"]):
        ended = subprocess.run(
            [sys.executable, "-m", "flows", *command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith("error: FEDSTUDY_HOME: ")
        assert str(folder) in ended.stderr
        assert ended.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("how", [pytest.param(signal.SIGHUP, marks=pytest.mark.nightly), signal.SIGKILL])
@pytest.mark.nightly
def test_the_ui_ends_with_its_command_and_shows_no_password(tmp_path, new_databases, how):
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shutil.copyfile(new_databases / "mlflow.db", tmp_path / "runs.db")
    uri = f"sqlite:///{tmp_path / 'runs.db'}?secret=p4ssword"
    environment = {**os.environ, "FEDSTUDY_HOME": str(tmp_path / "home"), "MLFLOW_TRACKING_URI": uri}
    command = [sys.executable, "-m", "flows", "ui", "--port", str(port)]
    with default_signals():
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    try:
        while not answers(port):
            assert process.poll() is None
            time.sleep(0.1)
        family = descendants(process.pid)
        assert len(family) >= 2
        for host, answer in {
            f"localhost:{port}": 200,
            "127.0.0.1:9": 200,  # as through a forwarded port
            "evil.example": 403,
            "10.evil.example": 403,
            f"192.168.evil.example:{port}": 403,
        }.items():
            assert status_as(host, port) == answer, host
        assert not any("p4ssword" in Path(f"/proc/{each}/cmdline").read_text() for each in family)
        process.send_signal(how)
        assert process.wait(timeout=90) == (-signal.SIGKILL if how == signal.SIGKILL else 0)
        deadline = time.monotonic() + 90
        while any(alive(each) for each in family):
            assert time.monotonic() < deadline, family
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    assert not answers(port)


def answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health"):
            return True
    except (URLError, ConnectionError):
        return False


def status_as(host: str, port: int) -> int:
    """What a page learns that made its own name mean this machine."""
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/api/2.0/mlflow/experiments/search?max_results=1", headers={"Host": host})
    status = connection.getresponse().status
    connection.close()
    return status


def descendants(pid: int) -> list[int]:
    children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(below for each in children for below in descendants(each))]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
