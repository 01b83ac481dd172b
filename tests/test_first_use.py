"""Processes that meet a fresh home, experiment or data set at the same moment."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from tasks.tracking.server import store
from tasks.tracking.server.failures import is_conflict, tried_again

ROOT = Path(__file__).parent.parent

MEETS = """
import sys, time
from pathlib import Path
from mlflow.entities import DatasetInput, InputTag
from tasks.tracking.server import failures, limits, store
ready, go, work = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
ready.touch()
while not go.exists():
    time.sleep(0.001)
client = store.connect()
experiment = store.experiment_id(client, "same")
if work == "all":
    data = limits.dataset_of("digits", "0" * 16, "here", {"classes": ["a"]}, {})
    for _ in range(5):
        run = client.create_run(experiment).info.run_id
        inputs = [DatasetInput(data, [InputTag("mlflow.data.context", "training")])]
        failures.tried_again(lambda: client.log_inputs(run, inputs))
        failures.tried_again(lambda: client.set_experiment_tag(experiment, "note", sys.argv[1]))
print(experiment)
"""


@pytest.fixture
def meet(home, tmp_path):
    """Let processes do the same at the same moment; what each printed."""

    def meet(work, processes=3):
        ready = [tmp_path / f"ready-{at}" for at in range(processes)]
        go = tmp_path / "go"
        commands = [[sys.executable, "-c", MEETS, str(file), str(go), work] for file in ready]
        started = [
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for command in commands
        ]
        while not all(file.exists() for file in ready) and all(each.poll() is None for each in started):
            time.sleep(0.01)
        go.touch()
        ended = [process.communicate(timeout=300) for process in started]
        assert [process.returncode for process in started] == [0] * processes, ended[0][1] + ended[-1][1]
        return [said.strip() for said, _ in ended]

    return meet


@pytest.mark.slow
@pytest.mark.nightly
def test_processes_that_are_first_at_once_share_one_database_experiment_and_data_set(meet, home):
    (experiment,) = set(meet("all"))
    client = store.connect()
    assert [each.name for each in client.search_experiments()] == ["same", "Default"]
    runs = client.search_runs([experiment])
    assert len(runs) == 15
    assert {run.inputs.dataset_inputs[0].dataset.name for run in runs} == {"digits"}


@pytest.mark.slow
@pytest.mark.nightly
def test_an_experiment_in_the_bin_is_brought_back_by_whoever_is_first(meet, home):
    client = store.connect()
    made = store.experiment_id(client, "same")
    client.delete_experiment(made)
    assert meet("experiment") == [made] * 3
    assert client.get_experiment(made).lifecycle_stage == "active"


@pytest.mark.usefixtures("used_home")
@pytest.mark.slow
def test_somebody_else_brings_the_experiment_back_first(home, monkeypatch):
    client = store.connect()
    made = store.experiment_id(client, "same")
    client.delete_experiment(made)
    restore = type(client).restore_experiment

    def too_late(self, experiment):
        restore(self, experiment)
        restore(self, experiment)  # MLflow finds none in its bin

    monkeypatch.setattr(type(client), "restore_experiment", too_late)
    assert store.experiment_id(client, "same") == made


@pytest.mark.usefixtures("used_home")
@pytest.mark.slow
def test_somebody_else_makes_the_experiment_first(home, monkeypatch):
    client, others = store.connect(), []
    create = type(client).create_experiment

    def beaten(self, name, **options):
        if not others:
            others.append(create(self, name, **options))
        return create(self, name, **options)

    monkeypatch.setattr(type(client), "create_experiment", beaten)
    assert store.experiment_id(client, "same") == others[0]


@pytest.mark.parametrize(
    "said",
    [
        "(sqlite3.IntegrityError) UNIQUE constraint failed: datasets.experiment_id, datasets.name",
        '(psycopg2.errors.UniqueViolation) duplicate key value violates unique constraint "dataset_pk"',
        "(pymysql.err.IntegrityError) (1062, \"Duplicate entry 'a' for key 'PRIMARY'\")",
    ],
)
def test_what_databases_say_of_a_row_that_is_there_is_tried_again_and_nothing_else_is(said):
    left = [MlflowException(said), MlflowException(said)]

    def call():
        if left:
            raise left.pop()
        return "done"

    assert is_conflict(MlflowException(said))
    assert tried_again(call) == "done"
    calls = []
    with pytest.raises(MlflowException, match="too long"):
        tried_again(lambda: calls.append(1) or (_ for _ in ()).throw(MlflowException("too long")))
    assert len(calls) == 1
