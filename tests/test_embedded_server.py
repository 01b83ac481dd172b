"""Prefect's server of our own: it starts in the background, answers, and says so where it cannot."""

import os
import signal
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

    monkeypatch.setattr(embedded_server, "_start_deaf_to_interrupts", lambda port: _Program(code))
    server = EmbeddedServer(embedded_server._free_port())
    with (
        temporary_settings({PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 0}),
        pytest.raises(BadInput, match=message),
    ):
        server.wait()
    assert not server.has_answered


def test_the_port_is_one_that_nobody_has():
    with embedded_server.socket() as taken:
        taken.bind(("127.0.0.1", embedded_server._free_port()))
        number = taken.getsockname()[1]
        assert number in range(8000, 9000)
        assert embedded_server._free_port() != number


def test_interrupts_reach_us_alone(monkeypatch):
    """The server's process inherits what is blocked when it is started; ours is as before."""
    blocked = []
    monkeypatch.setattr(
        embedded_server.subprocess,
        "Popen",
        lambda command, env, stdin: blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    embedded_server._start_deaf_to_interrupts(8000)
    assert signal.SIGINT in blocked[0]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_the_server_has_the_settings_of_this_process(monkeypatch):
    given = {}
    monkeypatch.setattr(embedded_server.subprocess, "Popen", lambda command, env, stdin: given.update(env))
    monkeypatch.setitem(os.environ, "PREFECT_SERVER_LOGGING_LEVEL", "ERROR")
    embedded_server._start_deaf_to_interrupts(8000)
    assert given["PREFECT_SERVER_LOGGING_LEVEL"] == "ERROR"
    assert given["FEDSTUDY_HOME"] == os.environ["FEDSTUDY_HOME"]


def test_the_server_ends_with_a_process_that_is_killed():
    """A kill -9 leaves nobody who could stop it."""
    start = "import time; from flows.embedded_server import EmbeddedServer as S, _free_port; "
    start += "print(S(_free_port())._process.pid, flush=True); time.sleep(60)"
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
