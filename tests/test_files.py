"""Files that are whole or not there: after errors, after a kill -9, and with several writers at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from federated.machine.files import alone, whole

ROOT = Path(__file__).parent.parent

# Dies in the middle of writing, as of kill -9: no `finally` is reached.
DIES = """
import os, pathlib, sys
from federated.machine.files import whole
with whole(pathlib.Path(sys.argv[1])) as partial:
    partial.write_text("half of it")
    partial.with_name(".tmp123").write_text("of a library")
    if sys.argv[2] == "die":
        os._exit(9)
    print("writing", flush=True)
    sys.stdin.read()
"""

# Keeps an entry for each number, as the probe does.
ADDS = """
import pathlib, sys
from federated.local_training.engine_probe import _add
for at in range(20):
    _add(pathlib.Path(sys.argv[1]), f"{sys.argv[2]}-{at}", "loop")
"""


def _start(source, *arguments):
    command = [sys.executable, "-c", source, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "sub" / "x[1].json"
    for text in ("first", "second"):
        with whole(path) as partial:
            partial.write_text(text)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_file_from_before(tmp_path):
    path = tmp_path / "x"
    path.write_text("first")

    def write():
        with whole(path) as partial:
            partial.write_text("half of")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert (path.read_text(), list(tmp_path.iterdir())) == ("first", [path])


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    path, other = tmp_path / "x[1]", tmp_path / "other.123.partial"
    assert _start(DIES, path, "die").wait(timeout=90) == 9
    for left in (tmp_path / "x[1].77.partial", other):  # files, as older versions left them
        left.write_text("half of it")
    assert len(list(tmp_path.glob("x*.partial"))) == 2
    with whole(path) as partial:
        partial.write_text("whole")
    assert path.read_text() == "whole"
    assert sorted(tmp_path.iterdir()) == [other, path]


def test_what_another_process_is_writing_is_left_to_it(tmp_path):
    path = tmp_path / "x"
    writer = _start(DIES, path, "live")
    assert writer.stdout.readline() == "writing\n"
    with whole(path) as partial:
        partial.write_text("ours")
    assert path.read_text() == "ours"
    writer.communicate("", timeout=90)
    assert (writer.returncode, path.read_text()) == (0, "half of it")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
@pytest.mark.nightly
def test_entries_that_several_processes_add_are_all_kept(tmp_path):
    file = tmp_path / "engines.json"
    file.write_text('{"before": "vmap"}')
    with alone(tmp_path / "engines.json.lock"):  # both start at once, when this block ends
        writers = [_start(ADDS, file, name) for name in "ab"]
        with pytest.raises(subprocess.TimeoutExpired):
            writers[0].wait(6)
    assert [writer.wait(timeout=90) for writer in writers] == [0, 0]
    kept = json.loads(file.read_text())
    assert set(kept) == {"before", *(f"{name}-{at}" for name in "ab" for at in range(20))}
