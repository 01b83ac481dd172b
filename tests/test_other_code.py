"""Code of a person's own that changed after a study was killed: its old results are no part of the new ones."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from federated.run.course import Course
from federated.run.setup import initial_state, prepare
from federated.segments import train
from federated.study.study import read_study

ROOT = Path(__file__).parents[1]

NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, input_shape, num_outputs):
        super().__init__()
        self.a = nn.Linear(64, 16)
        self.b = nn.Linear(16, num_outputs)

    def forward(self, x):
        return self.b(self.a(x.flatten(1)).relu())
"""

STUDY = """
name: resumed
base:
  dataset: digits
  clients: 5
  model: {name: "nets:Net"}
  rounds: 150
  evaluation: {every: 10}
seeds: [0, 1]
"""


def _started(home, output, *arguments):
    environment = {**os.environ, "FEDSTUDY_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    environment.pop("PREFECT_API_URL", None)
    command = [sys.executable, "-m", "flows", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
    )


def _kill_in_the_second_run(home, study, log):
    with log.open("w") as output:
        started = _started(home, output, "run", study)
        try:
            deadline = time.monotonic() + 240
            while "done 1/2" not in log.read_text() or not list((home / "checkpoints").glob("*.safetensors")):
                assert started.poll() is None, log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            os.killpg(started.pid, signal.SIGKILL)
        assert started.wait() == -signal.SIGKILL, log.read_text()


@pytest.mark.slow
@pytest.mark.nightly
def test_a_study_whose_code_was_changed_is_resumed_with_runs_of_that_code_alone(tmp_path, used_home):
    """One run had finished, one was in the middle: both are run anew, said in a line each, in runs of their own."""
    home = used_home
    study, nets, log = tmp_path / "study.yaml", tmp_path / "nets.py", tmp_path / "log"
    study.write_text(STUDY)
    nets.write_text(NETS)
    _kill_in_the_second_run(home, study, log)
    nets.write_text(NETS.replace(".relu()", ".sin()"))
    with log.open("w") as output:
        assert _started(home, output, "run", study, "--resume").wait(300) == 0, log.read_text()
    said = log.read_text()
    assert said.count("begins anew, in a run of its own in MLflow: the code was nets:Net ") == 2
    assert "finished before" not in said
    assert "Traceback" not in said
    (fresh,) = [line for line in said.splitlines() if "starts afresh" in line]
    assert "code of nets:Net" in fresh
    with sqlite3.connect(home / "mlflow.db") as database:
        runs = database.execute("select run_uuid, name, status from runs order by start_time").fetchall()
        losses = {
            run_id: dict(
                database.execute(
                    "select step, value from metrics where key = 'train/loss' and run_uuid = ?", [run_id]
                ).fetchall()
            )
            for run_id, *_ in runs
        }
    assert [run[1:] for run in runs] == [
        ("resumed", "FINISHED"),
        ("resumed · seed 0", "FINISHED"),
        ("resumed · seed 1", "KILLED"),
        ("resumed · seed 0", "FINISHED"),
        ("resumed · seed 1", "FINISHED"),
    ]
    for (run_id, *_), run in zip(runs[3:], read_study(study).runs(), strict=True):
        setup = prepare(run.config)
        expected = {
            at: each["train/loss"] for at, each in train(Course(initial_state(setup)), setup, 3).history
        }
        assert sorted(losses[run_id]) == list(range(1, 151))
        assert {at: losses[run_id][at] for at in (1, 2, 3)} == pytest.approx(expected, rel=1e-6)
