"""Prefect's server of our own: it starts in the background, answers, and says so where it cannot."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from federated.errors import BadInput
from flows import embedded_server
from flows.embedded_server import EmbeddedServer

pytestmark = pytest.mark.usefixtures("home")


class _Program:
    """A program that never answers; `code` is what it ended with, None while it goes on."""

    def __init__(self, code):
        self.code = code

    def poll(self):
        return self.code


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (3, "ended with exit code 3 while it started"),
        (None, r"does not answer after 0 s \(PREFECT_SERVER_EPH"),
    ],
)
def test_a_server_that_does_not_start_is_said_so(monkeypatch, code, message):
    from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, temporary_settings

    monkeypatch.setattr(embedded_server, "_start_deaf_to_interrupts", lambda descriptor: _Program(code))
    with embedded_server._bound_socket() as bound:
        server = EmbeddedServer(bound)
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


def test_the_server_has_the_socket_where_the_port_was_chosen():
    """While the server starts, its port cannot be taken; once it is stopped, it can."""
    with embedded_server.embedded_server() as server:
        with socket.socket() as rival, pytest.raises(OSError, match="in use"):
            rival.bind(("127.0.0.1", server.port))
        server.wait()
        with socket.create_connection(("127.0.0.1", server.port)) as asked:
            asked.sendall(b"GET /api/health HTTP/1.0\r\n\r\n")
            assert b"200 OK" in asked.recv(1000)
    with socket.socket() as rival:
        rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        rival.bind(("127.0.0.1", server.port))


def test_interrupts_reach_us_alone(monkeypatch):
    """The server's process inherits what is blocked when it is started; ours is as before."""
    blocked = []
    monkeypatch.setattr(
        embedded_server.subprocess,
        "Popen",
        lambda command, env, stdin, pass_fds: blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    embedded_server._start_deaf_to_interrupts(8000)
    assert signal.SIGINT in blocked[0]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_the_server_has_the_settings_of_this_process(monkeypatch):
    given = {}
    monkeypatch.setattr(
        embedded_server.subprocess, "Popen", lambda command, env, stdin, pass_fds: given.update(env)
    )
    monkeypatch.setitem(os.environ, "PREFECT_SERVER_LOGGING_LEVEL", "ERROR")
    embedded_server._start_deaf_to_interrupts(8000)
    assert given["PREFECT_SERVER_LOGGING_LEVEL"] == "ERROR"
    assert given["FEDSTUDY_HOME"] == os.environ["FEDSTUDY_HOME"]


def test_the_server_ends_with_a_process_that_is_killed():
    """A kill -9 leaves nobody who could stop it."""
    start = "import time; from flows.embedded_server import EmbeddedServer as S, _bound_socket; "
    start += "print(S(_bound_socket())._process.pid, flush=True); time.sleep(60)"
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
