"""Prefect as the command line needs it: embedded, quiet, quick - each setting with its reason.

Nothing here matters to a deployment: a worker brings its own server and settings. What a person has set in
the environment always wins.
"""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from federated.errors import BadInput
from federated.home import home

if TYPE_CHECKING:
    from prefect.server.api.server import SubprocessASGIServer

_EMBEDDED = {
    # The server writes every task run in a transaction of its own unless told to gather them: a quarter of
    # the work in all.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TRIGGERS_READ_BATCH_SIZE": "100",
    # A first start migrates the database, which takes longer than the default 20 s on a busy machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

# Logs go to the API, where Prefect shows them; the terminal belongs to the progress display.
_QUIET = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}


def configure() -> None:
    """Put the settings into the environment. Must come before the first import of Prefect. Raises BadInput."""
    embedded = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home() / 'prefect.db'}"}
    for name, value in {**_EMBEDDED, **_QUIET, **embedded}.items():
        os.environ.setdefault(name, value)
    try:
        home().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"FEDSTUDY_HOME: {home()} cannot be a folder: {error.strerror}") from error


@contextmanager
def prefect_api() -> Iterator[Callable[[], None]]:
    """A Prefect API for flows in this process and in its children; call what it gives before the first flow.

    The one of PREFECT_API_URL or the active profile; where there is none, a server of our own on a loopback
    port, stopped at the end. It takes seconds to start, so it starts in the background: the call waits for it.
    """
    from prefect.logging.handlers import APILogHandler
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    # The heartbeat makes every flow run wait up to a second at its end, and nobody watches for it here.
    quick = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    if PREFECT_API_URL.value():
        with temporary_settings(quick):
            _require_api(PREFECT_API_URL.value())
            yield lambda: None
        return
    server = SubprocessASGIServer()
    server.port = server.find_available_port()
    with ThreadPoolExecutor(1) as background:
        starting = background.submit(_start_deaf_to_interrupts, server)
        try:
            with temporary_settings({**quick, PREFECT_API_URL: server.api_url}):
                try:
                    yield starting.result
                finally:
                    APILogHandler().flush()  # while there still is somebody to send the last logs to
        finally:
            server.stop()  # also ends a start that is still waiting for an answer
            starting.exception()
            server.stop()


def _require_api(address: str) -> None:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        if problem := client.api_healthcheck():
            raise BadInput(
                f"Prefect at {address} does not answer: {problem}; start it, or unset PREFECT_API_URL"
            )


def _start_deaf_to_interrupts(server: "SubprocessASGIServer") -> None:
    """Start the server so that Ctrl-C reaches us alone: the flows still need it to say that they ended."""
    # A child inherits the signals that the thread that starts it has blocked.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    server.start()
