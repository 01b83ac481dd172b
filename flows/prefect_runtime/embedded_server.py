"""A Prefect server of our own, on a loopback port, for as long as a study runs.

Prefect has one too (`SubprocessASGIServer`), but importing it imports the whole server into this process, which takes
two seconds that the server could already be starting in. Ours is started before anything else is imported.
"""

import os
import re
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from socket import socket
from tempfile import TemporaryFile
from typing import IO

from prefect.settings import get_current_settings

from federated.foundation.errors import BadInput
from federated.machine.folders import home
from flows.prefect_runtime.kept_tables import provide_tables
from flows.terminal.progress import notify

_SECONDS_BETWEEN_QUESTIONS = 0.05
_SECONDS_TO_STOP = 5
# Below the ports that the system gives to outgoing connections: asking whether a server is there, from such a port,
# could reach itself.
_PORTS = range(8000, 9000)
_ERROR = re.compile(r"^((?:\w+\.)*\w+(?:Error|Exception)): (.+)", re.MULTILINE)
"""The line of a traceback that says what was raised."""
_DATABASE = ("sqlalchemy.", "sqlite3.", "alembic.")
_OF_DATABASE = (
    "; where its database, prefect.db in FEDSTUDY_HOME (or of PREFECT_SERVER_DATABASE_CONNECTION_URL), is damaged or "
    "of another version, move it away: it holds what Prefect shows of past runs, and no results"
)
_MOST_STARTS = 3  # after the first: what ends it again and again ends the next one too
_PROGRAM = Path(__file__).with_name("guarded_server.py")


class EmbeddedServer:
    """A server that is starting or running, on a bound socket that this process keeps open too.

    Where it ends before it is told to, another one takes its place: who asks meanwhile waits at the socket.
    said: a file for what it writes: tracebacks that are long and of Prefect's code, perhaps with secrets in them.
    """

    def __init__(self, bound: socket, said: IO[bytes]) -> None:
        self.port: int = bound.getsockname()[1]
        self.secret = f"fedstudy:{os.urandom(32).hex()}"
        self.has_answered = False
        self._started = time.monotonic()
        self._bound = bound
        self._said = said
        self._stopping = threading.Event()
        self._changing = threading.Lock()
        self._process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        self._said_before = os.fstat(self._said.fileno()).st_size
        return _start_apart(self._bound.fileno(), self.secret, self._said)

    @property
    def api_url(self) -> str:
        """The address for PREFECT_API_URL."""
        return f"http://127.0.0.1:{self.port}/api"

    def wait(self) -> None:
        """Return when the server answers. Raises BadInput where it ends before that, or takes too long."""
        patience = get_current_settings().server.ephemeral.startup_timeout_seconds
        while not self._answers():
            if (code := self._process.poll()) is not None:
                raise BadInput(f"Prefect's embedded server did not start: {self._why_ended(code)}")
            if time.monotonic() > self._started + patience:
                raise BadInput(
                    f"Prefect's embedded server does not answer after {patience} s; on a busy machine wait and start "
                    "again, set PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS to more, or use a server that runs "
                    "(PREFECT_API_URL, see docs/scheduling.md)"
                )
            time.sleep(_SECONDS_BETWEEN_QUESTIONS)
        self.has_answered = True
        threading.Thread(target=self._keep, daemon=True, name="prefect").start()

    def _keep(self) -> None:
        """Restart the server if it ends unasked, up to a number of times."""
        for _ in range(_MOST_STARTS):
            code = self._process.wait()
            with self._changing:
                if self._stopping.is_set():
                    return
                why = self._why_ended(code)
                notify(
                    f"Prefect's embedded server ended: {why}. Another one takes its place; the study goes on"
                )
                _close_input(self._process)
                self._process = self._start()
        self._process.wait()
        self._bound.close()  # who asks need not wait for an answer

    def stop(self) -> None:
        """End the server; kill it where it does not end by itself."""
        with self._changing:
            self._stopping.set()
        self._process.terminate()
        try:
            self._process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        finally:
            _close_input(self._process)

    def _why_ended(self, code: int) -> str:
        return f"signal {-code}" if code < 0 else self.last_error() or f"exit code {code}"

    def last_error(self) -> str:
        """The server's last error and, for a database error, the remedy; "" without an error."""
        descriptor = self._said.fileno()
        new = os.fstat(descriptor).st_size - self._said_before
        errors = _ERROR.findall(os.pread(descriptor, new, self._said_before).decode(errors="replace"))
        if not errors:
            return ""
        name, said = errors[-1]
        return f"{said}{_OF_DATABASE if name.startswith(_DATABASE) else ''}"

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
    with TemporaryFile() as said, _bound_socket() as bound:
        server = EmbeddedServer(bound, said)
        try:
            yield server
        finally:
            server.stop()


def _close_input(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin is not None:
        process.stdin.close()


def _bound_socket() -> socket:
    """A socket on a port that is ours from now on, which no other process can take before the server listens on it."""
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


def _start_apart(descriptor: int, secret: str, said: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start the server's process, which serves requests with the secret on this socket; its output goes to `said`.

    The server must outlive this process by a moment, as flows report their end to it. So it has a session of its own,
    which Ctrl-C and other signals to our process group do not reach, and a pipe from us as input: the pipe closes when
    this process ends, killed or not, and the server ends then.
    """
    home().mkdir(parents=True, exist_ok=True)
    # -P: this folder holds no libraries.
    command = [sys.executable, "-P", str(_PROGRAM), str(descriptor), str(home() / "prefect.db.lock")]
    stated = get_current_settings().to_environment_variables(exclude_unset=True)
    provide_tables(stated.get("PREFECT_SERVER_DATABASE_CONNECTION_URL", ""))
    environment = {
        **os.environ,
        "PREFECT_UI_ENABLED": "0",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
        **stated,
        "PREFECT_SERVER_API_AUTH_STRING": secret,  # not on the command line, which everybody may read
        "PREFECT_API_AUTH_STRING": secret,
    }
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=said,
        stderr=said,
        pass_fds=[descriptor],
        start_new_session=True,
    )
