"""`./fedstudy clean`: lists what can go, removes it only where asked, and leaves what is used or may be needed."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from federated.machine.folders import amount, bytes_below, home_in_words
from tasks.tracking.server.store import connect
from tests.test_compare_studies import tracked

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("used_home")]
Command = Callable[..., tuple[int, str, str]]


def old(path: Path, content: str = "x" * 1000, days: float = 40) -> Path:
    """A file that was last changed so many days ago, and so its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    then = time.time() - days * 86_400
    for each in (path, path.parent):
        os.utime(each, (then, then))
    return path


def all_below(home: Path) -> set[Path]:
    return {each for each in home.rglob("*") if each.is_file() and ".lock" not in each.name}


def test_clean_lists_first_and_then_removes_what_is_old(home: Path, command: Command) -> None:
    connect().create_experiment("ours", artifact_location=(home / "artifacts" / "ours").as_uri())
    others = old(home / "artifacts" / "of another database" / ("1" * 32) / "artifacts" / "model.bin")
    os.utime(others.parents[1], (0, 0))
    program = old(home / "programs" / "program-1a" / "program.pt2")
    used = old(home / "features" / "trunk-2b" / "features.npy", days=1)
    unfinished = old(home / "checkpoints" / "key.safetensors")
    trials, newer = old(home / "tuning" / "3c.log"), old(home / "tuning" / "4d.log", days=1)
    orphan = old(home / "artifacts" / "ours" / ("0" * 32) / "artifacts" / "model.bin")
    os.utime(orphan.parents[1], (0, 0))
    before = all_below(home)
    code, said, _ = command("clean")
    assert code == 0
    assert "exported programs" in said
    assert "trials of tuned studies" in said
    assert "files of runs that MLflow no longer has" in said
    assert "stays: --checkpoints" in said
    assert "features" not in said.partition("There is")[0]
    assert "3.0 kB would go; `--yes` removes it" in said
    assert all_below(home) >= before
    code, said, _ = command("clean", "--yes")
    assert "3.0 kB removed" in said
    assert [each.exists() for each in (program, orphan, trials, newer, used, unfinished, others)] == [
        False,
        False,
        False,
        True,
        True,
        True,
        True,
    ]
    command("clean", "--yes", "--checkpoints")
    assert not unfinished.exists()
    code, said, _ = command("clean")
    assert said.startswith("Nothing would go. There is ")


def test_deleted_runs_go_with_their_files_and_others_stay(home: Path, command: Command) -> None:
    kept, gone = (tracked("daily", {"0.1": [0.8]}) for _ in range(2))
    connect().delete_run(gone.parent_run_id)
    files = home / "artifacts" / "daily"
    assert (files / gone.parent_run_id).is_dir()
    assert "MLflow's bin" not in command("clean")[1]  # deleted just now
    code, said, _ = command("clean", "--unused-for", "0", "--yes")
    assert (code, "runs in MLflow's bin" in said) == (0, True)
    assert not (files / gone.parent_run_id).exists()
    assert (files / kept.parent_run_id / "artifacts" / "study.yaml").is_file()
    experiments = [each.experiment_id for each in connect().search_experiments()]
    left = {run.info.run_id for run in connect().search_runs(experiments, run_view_type=3)}
    assert gone.parent_run_id not in left
    assert {kept.parent_run_id, gone.results[0].run_id} <= left


def test_frozen_parts_of_a_deleted_study_stay_for_its_runs_and_a_link_is_not_followed(
    home: Path, command: Command
) -> None:
    study = tracked("daily", {"0.1": [0.8]})
    (run,), files = study.results, home / "artifacts" / "daily"
    frozen = old(files / study.parent_run_id / "artifacts" / "frozen" / "a.safetensors")
    elsewhere = old(home / "elsewhere" / "artifacts" / "weights")
    (files / run.run_id).rename(home / "before")
    for name in (run.run_id, "0" * 32):
        (files / name).symlink_to(home / "elsewhere")
    for run_id, stays in ((study.parent_run_id, True), (run.run_id, False)):
        connect().delete_run(run_id)
        assert command("clean", "--unused-for", "0", "--yes")[0] == 0
        assert (frozen.exists(), (files / run.run_id).is_symlink()) == (stays, stays)
    assert elsewhere.exists()
    assert (files / ("0" * 32)).is_symlink()


@pytest.mark.parametrize("days", ["inf", "nan", "1e12", "-1"])
def test_days_that_no_calendar_has_are_refused(home: Path, command: Command, days: str) -> None:
    code, _, error = command("clean", f"--unused-for={days}")
    assert code == 2
    assert f"unused-for: {float(days):g} must be from 0 to 100,000 days" in error


def test_nothing_is_removed_while_another_process_uses_the_home(home: Path, command: Command) -> None:
    program = old(home / "programs" / "program-1a" / "program.pt2")
    (home / "processes").mkdir()
    with (home / "processes" / ("f" * 32)).open("wb") as living:
        fcntl.flock(living, fcntl.LOCK_EX)
        code, _, error = command("clean", "--yes")
        assert (code, program.exists()) == (2, True)
        assert "another process uses" in error
        assert command("clean")[0] == 0
    assert command("clean", "--yes")[0] == 0
    assert not program.exists()


def test_the_disk_use_of_the_home_in_words(home: Path) -> None:
    old(home / "artifacts" / "a", "x" * 1_500_000)
    (home / "link").symlink_to(home / "artifacts")
    assert bytes_below(home / "artifacts") == 1_500_000
    assert bytes_below(home / "nowhere") == 0
    assert f" in {home}: artifacts 1.5 MB, " in home_in_words()
    assert [amount(size) for size in (0, 970, 9_960, 1_234_567, 12e9)] == [
        "0 bytes", "970 bytes", "10 kB", "1.2 MB", "12 GB",
    ]  # fmt: skip
