"""A Prefect server of our own, on a loopback port, for as long as a study runs.

Prefect has one too (`SubprocessASGIServer`), but importing it imports the whole server into this process, which takes
two seconds that the server could already be starting in. Ours is started before anything else is imported.
"""

import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from socket import socket

from prefect.settings import get_current_settings

from federated.errors import BadInput
from federated.home import home

_SECONDS_BETWEEN_QUESTIONS = 0.05
_SECONDS_TO_STOP = 5
# Below the ports that the system hands out to whoever connects: asking whether a server is there, from a port of those,
# could reach itself.
_PORTS = range(8000, 9000)
_PROGRAM = Path(__file__).with_name("guarded_server.py")


class EmbeddedServer:
    """A server that is starting, or has started, on a socket that is bound; it has a copy of its own."""

    def __init__(self, bound: socket) -> None:
        self.port: int = bound.getsockname()[1]
        self.secret = f"fedstudy:{os.urandom(32).hex()}"
        self.has_answered = False
        self._started = time.monotonic()
        self._process = _start_deaf_to_interrupts(bound.fileno(), self.secret)

    @property
    def api_url(self) -> str:
        """The address for PREFECT_API_URL."""
        return f"http://127.0.0.1:{self.port}/api"

    def wait(self) -> None:
        """Return when the server answers. Raises BadInput where it ends before that, or takes too long."""
        patience = get_current_settings().server.ephemeral.startup_timeout_seconds
        while not self._answers():
            if (code := self._process.poll()) is not None:
                raise BadInput(f"Prefect's embedded server ended with exit code {code} while it started")
            if time.monotonic() > self._started + patience:
                raise BadInput(
                    f"Prefect's embedded server does not answer after {patience} s "
                    "(PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS)"
                )
            time.sleep(_SECONDS_BETWEEN_QUESTIONS)
        self.has_answered = True

    def stop(self) -> None:
        """End the server; kill it where it does not end by itself."""
        self._process.terminate()
        try:
            self._process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        finally:
            if self._process.stdin is not None:
                self._process.stdin.close()

    def _answers(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=_SECONDS_TO_STOP)
        try:
            secret = b64encode(self.secret.encode()).decode()
            connection.request("GET", "/api/health", headers={"Authorization": f"Basic {secret}"})
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()


@contextmanager
def embedded_server() -> Iterator[EmbeddedServer]:
    """A server that starts now, in the background, and is stopped at the end."""
    with _bound_socket() as bound:
        server = EmbeddedServer(bound)
    try:
        yield server
    finally:
        server.stop()


def _bound_socket() -> socket:
    """A socket on a port that is ours from now on, which nobody can take before the server listens on it."""
    bound = socket()
    for step in range(len(_PORTS)):
        port = _PORTS[(os.getpid() + step) % len(_PORTS)]  # studies that start together begin elsewhere
        try:
            bound.bind(("127.0.0.1", port))
        except OSError:
            continue
        return bound
    bound.close()
    raise BadInput(f"no port from {_PORTS[0]} to {_PORTS[-1]} is free for Prefect's embedded server")


def _start_deaf_to_interrupts(descriptor: int, secret: str) -> "subprocess.Popen[bytes]":
    """The process, which serves on this socket whoever knows the secret.

    Ctrl-C reaches us alone: the flows need it to say that they ended. Its input is a pipe on which nothing is said:
    when we are gone, killed or not, it closes, and the server ends.
    """
    home().mkdir(parents=True, exist_ok=True)
    # -P: this folder holds no libraries.
    command = [sys.executable, "-P", str(_PROGRAM), str(descriptor), str(home() / "prefect.db.lock")]
    environment = {
        **os.environ,
        "PREFECT_UI_ENABLED": "0",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
        **get_current_settings().to_environment_variables(exclude_unset=True),
        "PREFECT_SERVER_API_AUTH_STRING": secret,  # not on the command line, which everybody may read
        "PREFECT_API_AUTH_STRING": secret,
    }
    # A child inherits the signals that the thread that starts it has blocked.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, pass_fds=[descriptor])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
