"""MLflow's own UI, run as a server that ends with the command, however the command ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from socket import SO_REUSEADDR, SOL_SOCKET, socket

from federated.foundation.errors import BadInput
from tasks.tracking.server.access import require_store
from tasks.tracking.server.store import tracking_uri

_PROGRAM = Path(__file__).with_name("ends_with_parent.py")

_HOSTS = "MLFLOW_SERVER_ALLOWED_HOSTS"
_OURS = "127.0.0.1,127.0.0.1:*,localhost,localhost:*"
"""Names by which a browser may ask for it; any port, as it may be forwarded. MLflow would take `10.*` and the like too,
which is the beginning of names that anybody may own. What a person has set wins."""

_NOT_SERVED = ("http", "https", "databricks", "databricks-uc", "uc")
"""Schemes of MLFLOW_TRACKING_URI that are servers, elsewhere or here."""


def serve_ui(port: int) -> int:
    """Run MLflow's UI on loopback until a signal ends it; its exit code.

    Raises BadInput where there is no store, where the port cannot be had, and where MLFLOW_TRACKING_URI is a server,
    which has a UI of its own.
    """
    require_store()
    _require_database()
    _require_port(port)
    command = [sys.executable, "-P", str(_PROGRAM), sys.executable, "-m", "mlflow", "server"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1"]  # one person looks; four take longer to start
    command += [
        "--uvicorn-opts",
        f"--app-dir {os.devnull}",
    ]  # else it looks for libraries in the working folder
    environment = {
        _HOSTS: _OURS,
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": tracking_uri(),  # not on the command line, which everybody may read
        # Jobs are for evaluating language models; without them the server starts in half the time.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, start_new_session=True)
    assert process.stdin is not None
    try:
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        process.stdin.close()
        process.wait()


def _require_database() -> None:
    uri = tracking_uri()
    if uri.partition(":")[0] in _NOT_SERVED:
        raise BadInput(
            f"MLFLOW_TRACKING_URI is the server {uri}, which has the UI itself: open that address; without "
            "MLFLOW_TRACKING_URI this command serves the database in FEDSTUDY_HOME"
        )


def _require_port(port: int) -> None:
    """The server itself would end with exit code 0 between its own lines."""
    with socket() as probe:
        probe.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadInput(f"--port {port}: {error.strerror}; choose a free one") from error
