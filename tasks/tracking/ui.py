"""MLflow's own UI, as a server of this command's: it ends with it, however that ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tasks.tracking.access import require_store
from tasks.tracking.store import tracking_uri

_PROGRAM = Path(__file__).with_name("ends_with_parent.py")


def serve_ui(port: int) -> int:
    """Run MLflow's UI on loopback until a signal ends it; its exit code. Raises BadInput where there is no store."""
    require_store()
    command = [sys.executable, "-P", str(_PROGRAM), sys.executable, "-m", "mlflow", "server"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1"]  # one person looks; four take longer to start
    environment = {
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
