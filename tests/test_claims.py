"""A run of a study is trained by one process at a time, and taken over from one that is dead, on any machine."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import re
from pathlib import Path

import pytest

from federated.foundation.errors import BadInput
from federated.machine.files import is_free
from federated.machine.folders import require_shared_folder
from federated.study.study import Run
from tasks import checkpoints, claims
from tasks.claims import RunIsTaken, claimant, claimed, is_abandoned
from tasks.tracking.server import heartbeats, processes
from tests.conftest import config_of

NOBODY = "0" * 32
RUN = Run("arm", config_of(), 3)


@pytest.fixture
def shared(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that two machines share."""
    monkeypatch.setenv("FEDSTUDY_CHECKPOINTS", str(tmp_path / "shared"))
    return tmp_path / "shared"


def _on_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another home, whose locks say nothing of the processes of the first one."""
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path / "another"))


def test_a_second_process_is_told_who_has_the_run(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with claimed(RUN, "study"):
        _on_another_machine(tmp_path, monkeypatch)
        said = re.escape(f"{RUN.name} is trained by another process, on {platform.node()}; `--resume`")
        with pytest.raises(RunIsTaken, match=said), claimed(RUN, "study"):
            pass
        with claimed(RUN, "another study"), claimed(Run("arm", config_of(), 4), "study"):
            pass
        assert not is_abandoned(RUN, "study")
    with claimed(RUN, "study"):  # which the first has let go
        pass
    assert [*(shared / "claims").iterdir()] == []


def test_a_run_of_a_machine_that_gives_no_sign_of_life_is_taken_over(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = processes.this_process()
    with claimed(RUN, "study"):
        _on_another_machine(tmp_path, monkeypatch)
        assert (processes.lives(first), processes.is_dead(first)) == (True, False)
        (file,) = (shared / "processes").iterdir()
        then = file.stat().st_mtime - heartbeats.SECONDS_TO_LIVE - 1
        os.utime(file, (then, then))
        assert (processes.lives(first), processes.is_dead(first)) == (False, True)
        assert is_abandoned(RUN, "study")
        assert not is_abandoned(RUN, "study", claimant(RUN, "study"))  # sent again, and not taken yet
        with claimed(RUN, "study"):
            assert not is_abandoned(RUN, "study")
        file.unlink()  # as a process does that ends
        assert processes.is_dead(first)
        (shared / "processes").rename(shared / "away")  # as an empty mount point
        assert (processes.lives(first), processes.is_dead(first)) == (False, False)


def test_of_a_process_that_does_not_use_the_shared_folder_nothing_is_known(shared: Path) -> None:
    assert processes.this_process().endswith(f"@{heartbeats.mark()}")
    for unknown in (f"{NOBODY}.{NOBODY}", f"{NOBODY}.{NOBODY}@{NOBODY}", NOBODY, "", "../x"):
        assert (processes.lives(unknown), processes.is_dead(unknown)) == (False, False)


def test_a_claim_that_nobody_can_judge_does_not_hold_a_run_up(home: Path) -> None:
    path = claims._path(RUN, "study")
    path.parent.mkdir(parents=True)
    for left in (f"{NOBODY}.{NOBODY}\ngone".encode(), b"damaged", b"", b"\xff\xfe"):
        path.write_bytes(left)
        with claimed(RUN, "study"):
            assert path.read_text(encoding="utf-8").startswith(processes.this_process())
    assert not path.exists()


def test_a_claim_that_somebody_made_in_the_place_of_a_dead_one_stays(home: Path) -> None:
    path = claims._path(RUN, "study")
    path.parent.mkdir(parents=True)
    path.write_text("new\nthere", encoding="utf-8")
    claims._remove(path, claims._Holder("old", "here"))
    assert path.read_text(encoding="utf-8") == "new\nthere"
    assert [*path.parent.iterdir()] == [path]


def test_checkpoints_are_where_every_machine_finds_them(shared: Path) -> None:
    assert checkpoints.checkpoint_path(RUN.config).parent == shared


@pytest.mark.parametrize("links", [True, False])
def test_a_claim_needs_no_links_and_a_run_needs_no_claim_that_cannot_be_written(
    home: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refused(*asked: object, **stated: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    with claimed(RUN, "study"):
        assert len([*(home / "claims").iterdir()]) == 1
        assert not claims._is_new(home / "claims" / "study-3", claims._Holder("another", "machine"))
    assert [*(home / "claims").iterdir()] == []
    said: list[str] = []
    monkeypatch.setattr(claims, "show", said.append)
    monkeypatch.setattr(Path, "mkdir", refused)
    with claimed(RUN, "study"):
        trained = True
    assert trained
    assert said[0].endswith("cannot be written: Operation not permitted")


def test_a_shared_folder_in_which_this_user_may_not_write_is_said_before_anything_runs(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shared / "claims").mkdir(parents=True)
    (shared / "processes").touch()  # root may write wherever there is a folder
    with pytest.raises(BadInput, match=r"FEDSTUDY_CHECKPOINTS: cannot write in .*processes: File exists"):
        require_shared_folder()
    monkeypatch.setenv("FEDSTUDY_CHECKPOINTS", "shared")
    with pytest.raises(BadInput, match="FEDSTUDY_CHECKPOINTS: shared: must be an absolute path"):
        require_shared_folder()


def test_two_who_look_whether_a_process_lives_do_not_take_each_other_for_it(home: Path) -> None:
    dead = home / "processes" / NOBODY
    processes.this_process()
    dead.touch()
    with dead.open("rb+") as other:
        assert is_free(other)
        assert processes.is_dead(f"{NOBODY}.{NOBODY}")
        fcntl.flock(other, fcntl.LOCK_SH)  # in the midst of looking
        assert processes.is_dead(f"{NOBODY}.{NOBODY}")
        assert not processes.lives(f"{NOBODY}.{NOBODY}")
