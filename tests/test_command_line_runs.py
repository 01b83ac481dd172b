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
def test_run_and_compare_from_the_shell(study, tmp_path, command, monkeypatch):
    path = study({"axes": {"partitioner": ["iid", "dirichlet(0.1)"]}})
    done = _shell(tmp_path / "var", "run", path)
    assert done.returncode == 0, done.stderr
    assert "done 2/2 dirichlet(alpha=0.1) · seed 0" in done.stdout
    assert done.stdout.rstrip().endswith("report.html")
    assert "INFO" not in done.stdout + done.stderr  # Prefect's own log does not drown it
    assert "Traceback" not in done.stderr
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path / "var"))
    code, again, _ = command("compare", "small")
    assert code == 0
    table = done.stdout[done.stdout.index("small: mean") :]
    before, found, after = again.partition("small: mean")
    (registered,) = [line for line in table.splitlines(keepends=True) if line.startswith("Model ")]
    assert "small, version 1 in MLflow's model registry" in registered
    assert found + after == table.replace(registered, "")  # to compare again registers nothing
    assert "reading the runs of small from MLflow" in before
    assert "Inconclusive against the baseline, iid" in table
    code, printed, _ = command("compare", "small", "--baseline", "dirichlet(alpha=0.1)")
    assert code == 0
    assert "Inconclusive against the baseline, dirichlet(alpha=0.1)" in printed
    for wrong, said in (
        ("--baseline=x", "'x' is not an arm"),
        ("--delta=0", "delta: input should be greater"),
    ):
        code, _, errors = command("compare", "small", wrong)
        assert (code, "Traceback" in errors) == (2, False)
        assert said in errors


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "sent"), [(2, signal.SIGINT), (1, signal.SIGTERM)])
@pytest.mark.nightly
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


# Three arms. The process of the first dies whenever it tries, at the worst moment: holding the locks of the queues on
# which it sends. That of the second dies once, while the third trains, which is to hear nothing of it.
DEADLY = """
import gc, multiprocessing, os, pathlib, signal, time
from multiprocessing.queues import Queue
from torch import nn

here = pathlib.Path(__file__).parent

def make(input_shape, num_outputs, arm):
    if multiprocessing.parent_process() is not None:
        with (here / f"begun {arm}").open("a") as file:
            print(os.getpid(), file=file)
        if arm == "dies":
            for queue in [one for one in gc.get_objects() if type(one) is Queue]:
                queue._wlock.acquire()
            os.kill(os.getpid(), signal.SIGKILL)
        if arm == "dies once" and not (here / "died").exists():
            while not (here / "begun lives").exists():
                time.sleep(0.1)
            (here / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        other = here / "begun dies once"
        while arm == "lives" and not (other.exists() and len(set(other.read_text().split())) == 2):
            time.sleep(0.1)  # until the other has begun again, beside this one
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_outputs))
"""


@pytest.mark.slow
@pytest.mark.nightly
def test_a_process_that_is_killed_is_followed_by_another_and_takes_only_its_own_run_with_it(
    study, tmp_path, var
):
    arms = ("dies", "dies once", "lives")
    model = {"name": _own(tmp_path, DEADLY, "make"), "arm": "lives"}
    path = study({"axes": {"model.arm": list(arms)}}, model=model)
    done = _shell(var, "run", path, "--workers", "2")
    assert done.returncode == 1, done.stderr
    assert "error: 1 of 3 runs failed: arm=dies · seed 0" in done.stderr
    assert re.search(r"failed \d/3 arm=dies · seed 0: its process died", done.stdout)
    database = sqlite3.connect(var / "mlflow.db")
    runs = database.execute("select name, status from runs where name != 'small'").fetchall()
    # The second try goes on in the same run.
    assert sorted(runs) == [
        ("arm=dies once · seed 0", "FINISHED"),
        ("arm=dies · seed 0", "FAILED"),
        ("arm=lives · seed 0", "FINISHED"),
    ]
    assert len(set((tmp_path / "begun lives").read_text().split())) == 1
