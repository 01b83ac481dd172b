"""When states are saved: at once, then seldom enough to cost little, and always at the end."""

import errno
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from federated.run import checkpoint
from federated.run.course import Course
from federated.run.setup import initial_state, prepare
from tasks import checkpoints
from tests.conftest import config_of

pytestmark = pytest.mark.usefixtures("home")


def _at(setup, done):
    """A course after so many rounds."""
    return Course(replace(initial_state(setup), round=done))


@pytest.fixture
def setup():
    return prepare(config_of())


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on only when told to."""
    now = [100.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def saved(monkeypatch, clock):
    """The rounds of the states that were saved; saving takes `cost` seconds."""
    rounds = []

    def save(course, setup):
        rounds.append(course.round)
        clock[0] += save.cost

    save.cost = 0.0
    monkeypatch.setattr(checkpoints, "save_checkpoint", save)
    return rounds, save


@pytest.mark.parametrize(("cost", "expected"), [(0.0, [1, 11, 21, 30]), (0.31, [1, 17, 30])])
def test_states_are_saved_every_ten_seconds_or_fifty_times_what_saving_takes(
    setup, clock, saved, cost, expected
):
    rounds, save = saved
    save.cost = cost
    with checkpoints.keeping(setup, print) as keep:
        for at in range(1, 31):
            keep(_at(setup, at))
            clock[0] += 1.0
    assert rounds == expected


def test_an_error_or_an_interrupt_loses_no_evaluated_round(setup):
    keeper = checkpoints.keeping(setup, print)

    def train():
        with keeper as keep:
            for at in (2, 4, 6):
                keep(_at(setup, at))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert checkpoints.first_course(setup, resume=True, say=print).round == 6
    assert checkpoints.first_course(setup, resume=False, say=print).round == 0


def test_nothing_is_saved_where_nothing_was_done(setup):
    with checkpoints.keeping(setup, print):
        pass
    assert not checkpoints.checkpoint_path(setup.config).exists()


@pytest.fixture
def two(setup):
    """The files of two generations, of rounds 2 and 1."""
    for at in (1, 2):
        checkpoints.save_checkpoint(_at(setup, at), setup)
    return checkpoints.checkpoint_path(setup.config), checkpoints.earlier_path(setup.config)


def _resumed(setup):
    """The round from which a run goes on, and what is said of it."""
    said = []
    return checkpoints.first_course(setup, resume=True, say=said.append).round, said


def _flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)


DAMAGES = {
    "bit of a tensor": lambda path: _flip(path, -3),
    "bit of the header": lambda path: _flip(path, path.read_bytes().index(b"uplink_bytes") + 18),
    "bit of a name": lambda path: _flip(path, path.read_bytes().index(b'parameters"')),
    "bit of the length": lambda path: _flip(path, 6),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"0"),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(len(path.read_bytes()))),
    "text": lambda path: path.write_text("no checkpoint"),
    "folder": lambda path: (path.unlink(), path.mkdir()),
}


def test_whole_generations_are_used_without_a_word(setup, two):
    assert _resumed(setup) == (2, [])
    two[0].unlink()  # as a kill between the two renames leaves it
    assert _resumed(setup) == (1, [])
    two[1].unlink()
    assert _resumed(setup) == (0, [])


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(setup, two, damage):
    damage(two[0])
    at, (said,) = _resumed(setup)
    assert at == 1
    assert said.startswith(f"the checkpoint {two[0]} is damaged: ")
    assert said.endswith("; it goes on from the checkpoint before, of round 1")
    assert "\n" not in said
    damage(two[1])
    at, (said,) = _resumed(setup)
    assert at == 0
    assert all(f"the checkpoint {path} is damaged: " in said for path in two)
    assert said.endswith("; it starts afresh")


def test_every_flipped_bit_is_either_seen_or_changes_nothing(setup, two):
    """Every 97th byte of the file, header and tensors."""
    path, content = two[0], two[0].read_bytes()
    whole = checkpoints.first_course(setup, resume=True, say=print)
    unseen = 0
    for at in range(0, len(content), 97):
        path.write_bytes(content)
        _flip(path, at)
        said = []
        course = checkpoints.first_course(setup, resume=True, say=said.append)
        if not said:
            unseen += 1
            assert course.round == whole.round
            assert torch.equal(course.state.parameters, whole.state.parameters)
    assert unseen == 0


def test_a_checkpoint_of_another_version_of_the_run_is_said_too(setup, two, monkeypatch):
    monkeypatch.setattr(checkpoints, "_identity", lambda setup: {"run_key": "other"})
    at, (said,) = _resumed(setup)
    assert at == 0
    assert "'run_key': 'other'" in said
    assert said.endswith("; it starts afresh")


def test_a_checkpoint_of_an_older_version_is_read(setup, two):
    """It has neither a digest nor a format."""
    with safe_open(two[0], "pt") as file:
        text = re.sub(r'"format": \d+, ', "", file.metadata()["state"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    safetensors.torch.save_file(tensors, two[0], {"state": text})
    assert '"format"' not in text
    assert _resumed(setup) == (2, [])


def test_a_checkpoint_whose_digest_was_taken_away_is_damaged(setup, two):
    with safe_open(two[0], "pt") as file:
        text, tensors = file.metadata()["state"], {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    safetensors.torch.save_file(tensors, two[0], {"state": text})
    assert _resumed(setup)[0] == 1


def test_saving_where_the_newest_is_damaged_keeps_a_good_one(setup, two):
    _flip(two[0], -3)
    checkpoints.save_checkpoint(_at(setup, 3), setup)
    assert _resumed(setup) == (3, [])


def test_a_full_disk_stops_no_training_is_said_once_and_leaves_what_was_there(setup, two, monkeypatch, clock):
    said = []
    with checkpoints.keeping(setup, said.append) as keep:
        with monkeypatch.context() as patch:

            def full(path, tensors, metadata):
                Path(path).write_bytes(b"half of")
                raise OSError(errno.ENOSPC, "No space left on device")

            patch.setattr(checkpoint, "write", full)
            for at in (3, 4, 5):
                keep(_at(setup, at))
                clock[0] += 100.0
        assert len(said) == 1
        assert "no checkpoint of round 3, [Errno 28] No space left on device; training goes on" in said[0]
        assert _resumed(setup) == (2, [])
        keep(_at(setup, 6))
    assert _resumed(setup) == (6, [])
    assert sorted(path.name for path in two[0].parent.iterdir()) == sorted(path.name for path in two)


@pytest.mark.slow
@pytest.mark.nightly
def test_a_really_full_disk_is_an_error_of_the_system(setup):
    """Nothing is patched: the system lets no file grow beyond half a kilobyte."""
    path = checkpoints.checkpoint_path(setup.config)
    path.parent.mkdir(parents=True)
    source = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512)); "
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "from federated.run.course import Course; from federated.run.setup import initial_state, prepare; "
        "from tasks import checkpoints; from tests.conftest import config_of\n"
        "setup = prepare(config_of())\n"
        "with checkpoints.keeping(setup, lambda said: print('SAID', said)) as keep: keep(Course(initial_state(setup)))"
    )
    # -B: Python would cut off the byte code of what it imports too, and others could not import it any more.
    done = subprocess.run(
        [sys.executable, "-B", "-c", source], capture_output=True, text=True, cwd=Path(__file__).parent.parent
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("SAID")]
    assert done.returncode == 0, done.stderr
    assert len(said) == 1
    assert "File too large" in said[0]
    assert list(path.parent.iterdir()) == []


def test_a_folder_in_the_place_of_the_checkpoints_stops_no_training(setup):
    folder = checkpoints.checkpoint_path(setup.config).parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the folder should be")
    said = []
    with checkpoints.keeping(setup, said.append) as keep:
        keep(_at(setup, 1))
    assert len(said) == 1
    checkpoints.drop_checkpoint(setup.config, said.append)


SAVES = """
from dataclasses import replace
from federated.run.course import Course
from federated.run.course import Course
from federated.run.setup import initial_state, prepare
from tasks import checkpoints
from tests.conftest import config_of
setup = prepare(config_of())
state, at = initial_state(setup), 0
while True:
    at += 1
    checkpoints.save_checkpoint(Course(replace(state, round=at)), setup)
    print(at, flush=True)
"""


@pytest.mark.slow
@pytest.mark.nightly
def test_a_kill_at_any_moment_of_saving_loses_one_state_at_most(setup):
    for after in (1, 12):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVES], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent
        )
        for _ in range(after):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        rest, _ = process.communicate()
        saved = after + len(rest.split())
        at, said = _resumed(setup)
        assert said == []
        assert at in (saved - 1, saved, saved + 1)
        checkpoints.drop_checkpoint(setup.config, print)
        assert not list(checkpoints.checkpoint_path(setup.config).parent.glob("*.safetensors"))
