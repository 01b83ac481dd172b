"""Studies run from the shell: compared, failed, interrupted, killed."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import default_signals, with_databases
from tests.test_command_line import _own

ROOT = Path(__file__).parents[1]


pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def var(tmp_path, new_databases):
    """A home that was used before; `test_run_and_compare_from_the_shell` has a new one."""
    return with_databases(tmp_path / "var", new_databases)


def _shell(home, *arguments):
    environment = {**os.environ, "FEDSTUDY_HOME": str(home)}
    environment.pop("PREFECT_API_URL", None)
    command = [sys.executable, "-m", "flows", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.slow
def test_run_and_compare_from_the_shell(study, tmp_path):
    path = study({"axes": {"partitioner": ["iid", "dirichlet(0.1)"]}})
    done = _shell(tmp_path / "var", "run", path)
    assert done.returncode == 0, done.stderr
    assert "done 2/2 dirichlet(alpha=0.1) · seed 0" in done.stdout
    assert done.stdout.rstrip().endswith("report.html")
    assert "INFO" not in done.stdout + done.stderr  # Prefect's own log does not drown it
    assert "Traceback" not in done.stderr
    again = _shell(tmp_path / "var", "compare", "small")
    assert again.returncode == 0, again.stderr
    table = done.stdout[done.stdout.index("small: mean") :]
    before, found, after = again.stdout.partition("small: mean")
    (registered,) = [line for line in table.splitlines(keepends=True) if line.startswith("Model ")]
    assert "small, version 1 in MLflow's model registry" in registered
    assert found + after == table.replace(registered, "")  # to compare again registers nothing
    assert "reading the runs of small from MLflow" in before
    assert "Inconclusive against the baseline, iid" in table
    other = _shell(tmp_path / "var", "compare", "small", "--baseline", "dirichlet(alpha=0.1)")
    assert "Inconclusive against the baseline, dirichlet(alpha=0.1)" in other.stdout
    for wrong, said in (
        ("--baseline=x", "'x' is not an arm"),
        ("--delta=0", "delta: input should be greater"),
    ):
        refused = _shell(tmp_path / "var", "compare", "small", wrong)
        assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)
        assert said in refused.stderr


@pytest.mark.slow
def test_a_study_with_a_failed_run_ends_with_exit_code_1(study, var):
    path = study({"axes": {"local.learning_rate": [1e30, 0.1]}}, model="mlp(hidden=[8])")
    done = _shell(var, "run", path)
    assert done.returncode == 1
    assert "failed 1/2 learning_rate=1e+30 · seed 0" in done.stdout
    assert "done 2/2 learning_rate=0.1 · seed 0" in done.stdout
    assert "error: 1 of 2 runs failed" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert list((var / "reports").glob("small-*/report.html"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "sent"), [(1, signal.SIGINT), (2, signal.SIGINT), (1, signal.SIGTERM), (2, signal.SIGTERM)]
)
def test_a_signal_ends_it_soon_and_it_says_how_to_go_on(study, var, workers, sent):
    path = study({"seeds": [0, 1]}, rounds=100_000)
    environment = {**os.environ, "FEDSTUDY_HOME": str(var)}
    environment.pop("PREFECT_API_URL", None)
    command = [sys.executable, "-m", "flows", "run", str(path), "--workers", str(workers)]
    with default_signals():
        started = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    try:
        checkpoints = var / "checkpoints"
        deadline = time.monotonic() + 180
        while not list(checkpoints.glob("*.safetensors")):
            assert started.poll() is None, started.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.5)
        # A terminal sends Ctrl-C to the whole group, the embedded server included.
        send = os.killpg if sent == signal.SIGINT else os.kill
        send(started.pid, sent)
        _, errors = started.communicate(timeout=90)
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
    assert started.returncode == 128 + sent, errors
    assert "interrupted; `run ... --resume` goes on" in errors
    database = sqlite3.connect(var / "mlflow.db")
    statuses = {status for (status,) in database.execute("select status from runs")}
    assert "RUNNING" not in statuses
    assert "KILLED" in statuses


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_a_study_begins_is_said_too(command, study, monkeypatch, sent):
    monkeypatch.setattr("flows.command_line._study", lambda *_: signal.raise_signal(sent))
    handlers = {
        each: signal.signal(each, signal.default_int_handler) for each in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        assert command("preview", study()) == (128 + sent, "", "error: interrupted\n")
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)


# Dies at the worst moment: holding the locks of the queues on which it sends.
KILLER = """
import gc, multiprocessing, os, signal
from multiprocessing.queues import Queue
from torch import nn

def make(input_shape, num_outputs, deadly=False):
    if deadly and multiprocessing.parent_process() is not None:
        for queue in [one for one in gc.get_objects() if type(one) is Queue]:
            queue._wlock.acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_outputs))
"""


@pytest.mark.slow
def test_a_process_that_is_killed_takes_only_its_own_run_with_it(study, tmp_path, var):
    model = {"name": _own(tmp_path, KILLER, "make"), "deadly": False}
    path = study({"axes": {"model.deadly": [True, False]}}, model=model)
    done = _shell(var, "run", path, "--workers", "2")
    assert done.returncode == 1
    assert "error: 1 of 2 runs failed: deadly=True · seed 0" in done.stderr
    assert re.search(r"failed \d/2 deadly=True · seed 0: its process died", done.stdout)
    database = sqlite3.connect(var / "mlflow.db")
    statuses = dict(database.execute("select name, status from runs"))
    assert statuses["deadly=False · seed 0"] == "FINISHED"
    assert statuses["deadly=True · seed 0"] == "FAILED"
    assert "RUNNING" not in statuses.values()


# One arm's process dies, once, while that of the other trains, which is to hear nothing of it.
ONCE = """
import multiprocessing, os, pathlib, signal, time
from torch import nn

here = pathlib.Path(__file__).parent

def make(input_shape, num_outputs, width):
    if multiprocessing.parent_process() is not None:
        with (here / f"begun {width}").open("a") as file:
            print(os.getpid(), file=file)
        if width == 1 and not (here / "died").exists():
            while not (here / "begun 2").exists():
                time.sleep(0.1)
            (here / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        other = here / "begun 1"
        while width == 2 and not (other.exists() and len(set(other.read_text().split())) == 2):
            time.sleep(0.1)  # until the other has begun again, beside this one
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_outputs))
"""


@pytest.mark.slow
def test_a_process_that_is_killed_once_is_followed_by_another_beside_those_that_go_on(study, tmp_path, var):
    model = {"name": _own(tmp_path, ONCE, "make"), "width": 1}
    path = study({"axes": {"model.width": [1, 2]}}, model=model)
    done = _shell(var, "run", path, "--workers", "2")
    assert done.returncode == 0, done.stderr
    database = sqlite3.connect(var / "mlflow.db")
    runs = database.execute("select name, status from runs where name != 'small'").fetchall()
    statuses = {
        width: sorted(status for name, status in runs if f"width={width}" in name) for width in (1, 2)
    }
    assert statuses == {1: ["FINISHED"], 2: ["FINISHED"]}  # the second try goes on in the same run
    assert len(set((tmp_path / "begun 2").read_text().split())) == 1
