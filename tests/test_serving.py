"""`mlflow models serve` answers raw rows over HTTP, from a folder and a process that know nothing of this project."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from federated.examples.user_data import as_examples
from federated.federation.client_transforms import ready_examples
from federated.losses import Readout
from federated.models.flat_model import FlatModel
from federated.models.mlp import mlp
from federated.preprocessing.predictor import Predictor
from tasks.tracking.models.folder import write_model

_SECONDS = 180

TABLE = pd.DataFrame({"age": [20.0, None, 40.0, 60.0], "smokes": ["yes", "no", "no", "yes"]})


@pytest.mark.slow
def test_a_served_model_answers_rows_with_gaps_and_new_categories(tmp_path: Path) -> None:
    ready = ready_examples(as_examples((TABLE, list("abab")), "mine"), np.arange(4), None)
    model = FlatModel(mlp([3])(ready.inputs.shape[1:], 2))
    write_model(tmp_path / "model", ("served",), model, model.vector, ready, Readout())
    rows = {"columns": ["smokes", "age"], "data": [["yes", 20], ["sometimes", None]]}
    found = answer(tmp_path / "model", {"dataframe_split": rows})
    folder = tmp_path / "model" / "artifacts" / "model"
    expected = Predictor(folder).predict(pd.DataFrame(rows["data"], columns=rows["columns"]))
    assert [row["label"] for row in found["predictions"]] == expected["label"].tolist()
    shares = [row["probability of a"] for row in found["predictions"]]
    assert shares == pytest.approx(expected["probability of a"].tolist(), abs=1e-6)


def answer(model: Path, body: dict[str, Any]) -> Any:
    """The answer of a server of the model in this folder to one request."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stated = {
        **os.environ,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    serve = ["-I", "-m", "mlflow", "models", "serve", "-m", str(model), "--env-manager", "local"]
    log = model.with_name("log")
    with log.open("w") as opened:
        server = subprocess.Popen(
            [sys.executable, *serve, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
            cwd=model.parent,
            env=stated,
            stdout=opened,
            stderr=opened,
            start_new_session=True,
        )
        try:
            return _answer(port, body, server, log)
        finally:
            os.killpg(server.pid, 15)
            server.wait(30)


def _answer(port: int, body: dict[str, Any], server: subprocess.Popen[bytes], log: Path) -> Any:
    """The answer to a request, once the server is up."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            with opener.open(request, timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            pytest.fail(error.read().decode())
        except OSError:
            time.sleep(1)
    pytest.fail(log.read_text())
