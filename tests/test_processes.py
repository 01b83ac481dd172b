"""Whether a study's process lives, and what becomes in MLflow of the runs of one that was killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from federated.study.study import Run, StudyConfig
from flows.federated_study import federated_study
from tasks.tracking.delivery import sending
from tasks.tracking.runs import runs
from tasks.tracking.server import processes
from tasks.tracking.server.store import connect
from tests.conftest import config_of

ROOT = Path(__file__).parent.parent

# Opens a study with a run below it, as a process does that is killed in the middle.
OPENS = """
import sys, time
from federated.study.study import Run, StudyConfig
from tasks.tracking.runs import runs
from tests.conftest import config_of
parent = runs.open_study(StudyConfig(name=sys.argv[1], base=config_of().model_dump()))
child = runs.open_run(Run("arm", config_of()), sys.argv[1], parent)
print(parent, child, flush=True)
time.sleep(120)
"""


@pytest.fixture
def opened(home):
    """Start a process that opens a study of this name and a run below it; the process and the two ids."""
    started = []

    def open_in_a_process(name):
        command = [sys.executable, "-c", OPENS, name]
        started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        return started[-1], started[-1].stdout.readline().split()

    yield open_in_a_process
    for process in started:
        process.kill()
        process.communicate()


def _status(run_id):
    return connect().get_run(run_id).info.status


def _study(name):
    return StudyConfig(name=name, base=config_of().model_dump())


@pytest.mark.slow
def test_runs_of_a_study_whose_process_was_killed_are_ended(opened):
    process, ids = opened("same")
    runs.end_dead_studies()
    assert [_status(each) for each in ids] == ["RUNNING"] * 2  # it lives
    process.kill()
    process.wait()
    ours = runs.open_study(_study("same"))
    runs.end_dead_studies()
    assert [_status(each) for each in ids] == ["KILLED"] * 2
    assert {connect().get_run(each).data.tags["failure"] for each in ids} == {
        "the process of its study was killed"
    }
    assert _status(ours) == "RUNNING"


@pytest.mark.slow
@pytest.mark.nightly
def test_what_is_left_running_below_a_study_that_ended_is_ended(opened):
    process, (parent, child) = opened("same")
    connect().set_terminated(parent, "KILLED")
    runs.end_dead_studies()
    assert _status(child) == "RUNNING"  # its process lives
    process.kill()
    process.wait()
    runs.end_dead_studies()
    assert [_status(each) for each in (parent, child)] == ["KILLED"] * 2
    assert connect().get_run(child).data.tags["failure"] == "its study ended without it"


@pytest.mark.slow
@pytest.mark.nightly
def test_where_nobody_knows_of_the_process_its_runs_are_left(opened):
    process, (parent, _) = opened("same")
    process.kill()
    process.wait()
    name = connect().get_run(parent).data.tags["process"]
    assert processes.is_dead(name)
    for unknown in ("", "0" * 32, f"{'0' * 32}.{'0' * 32}", f"../processes/{name}", f"{name}/"):
        connect().set_tag(parent, "process", unknown)
        runs.end_dead_studies()
        assert _status(parent) == "RUNNING"
    connect().delete_tag(parent, "process")  # of an older version
    runs.end_dead_studies()
    assert _status(parent) == "RUNNING"


@pytest.mark.slow
@pytest.mark.nightly
def test_what_another_process_may_need_is_not_cleaned(opened, home):
    process, _ = opened("same")
    kept = sending.the_journal().folder / "ids" / "local-name"
    kept.parent.mkdir(parents=True)
    kept.write_text("0" * 32)
    assert processes.others_live()
    sending.begin()
    assert kept.exists()
    process.kill()
    process.wait()
    assert not processes.others_live()
    sending.begin()
    assert not kept.exists()


def test_a_process_that_ends_by_itself_leaves_no_file(home):
    source = (
        "from tasks.tracking.server.processes import *; "
        "print(this_process(), this_process(), is_dead(this_process()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True
    )
    first, again, dead = done.stdout.split()
    assert (first, dead) == (again, "False")
    assert list((home / "processes").iterdir()) == []
    assert processes.is_dead(first)  # of this machine and home, so it has ended
    (home / "home-id").write_text("another")
    assert not processes.is_dead(first)


@pytest.mark.slow
def test_a_run_below_a_study_needs_no_process_of_its_own(home):
    parent = runs.open_study(_study("same"))
    child = runs.open_run(Run("arm", config_of()), "same", parent)
    tags = [connect().get_run(each).data.tags.get("process") for each in (parent, child)]
    assert tags == [processes.this_process(), None]


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("resume", [True, pytest.param(False, marks=pytest.mark.nightly)])
@pytest.mark.nightly
def test_a_study_that_goes_on_ends_what_was_left_of_it(opened, resume):
    process, ids = opened("same")
    process.kill()
    process.wait()
    outcome = federated_study(_study("same"), resume=resume)
    assert [_status(each) for each in ids] == ["FINISHED" if resume else "KILLED"] * 2
    if resume:  # in the same runs
        assert (outcome.parent_run_id, outcome.results[0].run_id) == tuple(ids)
        assert "failure" not in connect().get_run(ids[0]).data.tags
    else:
        assert outcome.parent_run_id != ids[0]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00"])
def test_a_damaged_mark_of_the_home_makes_it_another_home(home, content):
    """Nobody knows of processes of the home that it was; new ones are known."""
    before = processes._place(processes._folder())
    (home / "home-id").write_bytes(content)
    assert processes._place(processes._folder()) != before
    assert not processes.is_dead(f"{before}.{'0' * 32}")
    assert processes.is_dead(f"{processes._place(processes._folder())}.{'0' * 32}")
