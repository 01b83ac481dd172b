"""Prefect's server of our own: it starts in the background, answers, and says so where it cannot."""

import os
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from federated.foundation.errors import BadInput
from flows.prefect_runtime import embedded_server
from flows.prefect_runtime.embedded_server import EmbeddedServer

pytestmark = pytest.mark.usefixtures("home")


def patient():
    """A busy machine takes its time to start a server."""
    from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, temporary_settings

    return temporary_settings({PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 300})


@pytest.fixture
def said():
    """A file for what a server says."""
    with TemporaryFile() as file:
        yield file


class _Program:
    """A program that never answers; `code` is what it ended with, None while it goes on."""

    def __init__(self, code):
        self.code = code

    def poll(self):
        return self.code


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (3, "did not start: exit code 3"),
        (-9, "did not start: signal 9"),
        (
            None,
            r"does not answer after 0 s; on a busy machine .*set PREFECT_SERVER_EPH\w+SECONDS to more.*PREFECT_API_URL",
        ),
    ],
)
def test_a_server_that_does_not_start_is_said_so(monkeypatch, said, code, message):
    from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, temporary_settings

    monkeypatch.setattr(embedded_server, "_start_apart", lambda descriptor, secret, said: _Program(code))
    with embedded_server._bound_socket() as bound:
        server = EmbeddedServer(bound, said)
    with (
        temporary_settings({PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 0}),
        pytest.raises(BadInput, match=message),
    ):
        server.wait()
    assert not server.has_answered


def test_the_port_is_ours_from_the_first_moment():
    """Even where somebody else would share it, as uvicorn and most servers would."""
    with embedded_server._bound_socket() as bound, embedded_server._bound_socket() as other:
        ports = [each.getsockname()[1] for each in (bound, other)]
        assert set(ports) < set(range(8000, 9000))
        assert ports[0] != ports[1]
        with socket.socket() as rival:
            rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                rival.bind(("127.0.0.1", ports[0]))


@pytest.mark.slow
@pytest.mark.nightly
def test_the_server_has_the_socket_where_the_port_was_chosen():
    """While the server starts, its port cannot be taken; once it is stopped, it can."""
    with patient(), embedded_server.embedded_server() as server:
        with socket.socket() as rival, pytest.raises(OSError, match="in use"):
            rival.bind(("127.0.0.1", server.port))
        server.wait()
        assert _ask(server.port, "GET", "/api/health", _known(server))[0] == 200
    with socket.socket() as rival:
        rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        rival.bind(("127.0.0.1", server.port))


def test_what_goes_to_our_group_reaches_us_alone(monkeypatch, said):
    """Ctrl-C, a terminal that closes: the server is in a session of its own."""
    given = {}
    monkeypatch.setattr(embedded_server.subprocess, "Popen", lambda command, **options: given.update(options))
    embedded_server._start_apart(8000, "a:b", said)
    assert given["start_new_session"] is True


def test_nothing_of_what_the_server_writes_reaches_the_terminal(monkeypatch, said):
    """It may hold passwords; what is quoted of it is masked."""
    given = {}
    monkeypatch.setattr(embedded_server.subprocess, "Popen", lambda command, **options: given.update(options))
    embedded_server._start_apart(8000, "a:b", said)
    assert (given["stdout"], given["stderr"]) == (said, said)


def test_the_server_has_the_settings_of_this_process(monkeypatch, said):
    given = {}
    monkeypatch.setattr(embedded_server.subprocess, "Popen", lambda command, env, **_: given.update(env))
    monkeypatch.setitem(os.environ, "PREFECT_SERVER_LOGGING_LEVEL", "ERROR")
    embedded_server._start_apart(8000, "a:b", said)
    assert given["PREFECT_SERVER_LOGGING_LEVEL"] == "ERROR"
    assert given["FEDSTUDY_HOME"] == os.environ["FEDSTUDY_HOME"]


@pytest.mark.slow
def test_the_server_ends_with_a_process_that_is_killed():
    """A kill -9 leaves nobody who could stop it."""
    start = "import time; from flows.prefect_runtime.embedded_server import embedded_server\n"
    start += "with embedded_server() as server: print(server._process.pid, flush=True); time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE, text=True)
    server = int(parent.stdout.readline())
    parent.kill()
    try:
        parent.communicate(
            timeout=30
        )  # the server too holds the other end of this pipe, for as long as it lives
    except subprocess.TimeoutExpired:
        os.kill(server, signal.SIGKILL)
        raise


def _known(server):
    """The header that says the server's secret."""
    return {"Authorization": f"Basic {b64encode(server.secret.encode()).decode()}"}


def _ask(port, method, path, headers, body=None, patience=60):
    """The status and the headers of the answer; `Host` may be among the headers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=patience)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, {name.lower() for name, _ in answer.getheaders()}
    finally:
        connection.close()


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Protocol": "prefect",
}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A server that answers."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("server")
        patch.setenv("FEDSTUDY_HOME", str(folder))
        patch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", f"sqlite+aiosqlite:///{folder / 'prefect.db'}")
        with patient(), embedded_server.embedded_server() as server:
            server.wait()
            yield server


@pytest.mark.slow
def test_the_server_answers_who_knows_its_secret(running):
    assert _ask(running.port, "GET", "/api/health", _known(running))[0] == 200
    json = {**_known(running), "Content-Type": "application/json"}
    assert _ask(running.port, "POST", "/api/flow_runs/filter", json, "{}")[0] == 200
    local = {**_known(running), "Host": f"localhost:{running.port}"}
    assert _ask(running.port, "GET", "/api/admin/version", local)[0] == 200
    assert _ask(running.port, "GET", "/api/events/in", {**_known(running), **UPGRADE})[0] == 101


PLACES = [
    ("GET", "/api/health"),
    ("GET", "/api/admin/version"),
    ("POST", "/api/flow_runs/filter"),
    ("DELETE", "/api/flow_runs/00000000-0000-0000-0000-000000000000"),
    ("OPTIONS", "/api/flow_runs/filter"),
    ("GET", "/"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/ui-settings"),
    ("GET", "//api/health"),
    ("GET", "/api/events/in"),
    ("GET", "/api/events/out"),
    ("GET", "/api/logs/out"),
]
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), PLACES)
def test_the_server_refuses_everybody_else_everywhere(running, method, path):
    beside = {
        **(UPGRADE if path.endswith(("/in", "/out")) else {}),
        **(PREFLIGHT if method == "OPTIONS" else {}),
    }
    known, own = _known(running), f"http://127.0.0.1:{running.port}"
    strangers = [
        ({}, {401, 403}),  # of a websocket any refusal before it stands is 403
        ({"Authorization": "Basic ZmVkc3R1ZHk6"}, {401, 403}),
        ({"Authorization": "Bearer x"}, {401, 403}),
        ({**known, "Origin": "http://evil.example"}, {403}),
        ({**known, "Origin": "null"}, {403}),
        ({**known, "Origin": own}, {403}),
        ({"Origin": "http://evil.example"}, {403}),
        ({**known, "Host": "evil.example"}, {403}),
        ({**known, "Host": f"evil.example:{running.port}"}, {403}),
        ({**known, "Host": f"127.0.0.1:{running.port + 1}"}, {403}),
        ({**known, "Host": f"127.0.0.1.evil.example:{running.port}"}, {403}),
        ({**known, "Host": ""}, {403}),
    ]
    for headers, expected in strangers:
        status, answered = _ask(running.port, method, path, {**beside, **headers})
        assert status in expected, headers
        assert not any(name.startswith("access-control-") for name in answered), headers


@pytest.mark.slow
def test_a_request_without_a_host_or_with_two_is_refused(running):
    secret = f"Authorization: {_known(running)['Authorization']}"
    own = f"Host: 127.0.0.1:{running.port}"
    for version, lines in [("1.0", [secret]), ("1.1", [secret, own, "Host: evil.example"])]:
        with socket.create_connection(("127.0.0.1", running.port), timeout=60) as asked:
            asked.sendall("\r\n".join([f"GET /api/admin/version HTTP/{version}", *lines, "", ""]).encode())
            assert asked.recv(1000).split()[1] in (b"403", b"400")


@pytest.mark.slow
def test_the_secret_is_in_no_command_line_and_in_no_file(running, tmp_path_factory):
    word = running.secret.partition(":")[2].encode()
    assert len(word) == 64
    process = Path("/proc", str(running._process.pid))
    if process.exists():
        assert word not in (process / "cmdline").read_bytes()
    home = Path(os.environ["FEDSTUDY_HOME"])
    assert not [path for path in home.rglob("*") if path.is_file() and word in path.read_bytes()]


def test_no_two_servers_have_one_secret(monkeypatch, said):
    monkeypatch.setattr(embedded_server, "_start_apart", lambda descriptor, secret, said: _Program(0))
    with embedded_server._bound_socket() as bound:
        assert EmbeddedServer(bound, said).secret != EmbeddedServer(bound, said).secret


@pytest.mark.slow
@pytest.mark.nightly
def test_a_server_that_is_killed_is_replaced_and_who_asks_meanwhile_gets_an_answer(monkeypatch):
    told = []
    monkeypatch.setattr(embedded_server, "notify", told.append)
    with patient(), embedded_server.embedded_server() as server:
        server.wait()
        killed = server._process
        killed.kill()
        killed.wait()
        assert _ask(server.port, "GET", "/api/health", _known(server), patience=300)[0] == 200
        assert ["ended: signal 9. Another one takes its place" in line for line in told] == [True]
        second = server._process
        assert os.getsid(second.pid) == second.pid  # signals to our group do not reach it
    assert second is not killed
    assert second.poll() is not None
    with socket.socket() as rival:
        rival.bind(("127.0.0.1", server.port))
