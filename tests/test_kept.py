"""What is read once and kept at home: whole or not there, by one of several processes, and never too much of it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from federated.config.run import RunConfig
from federated.datasets.table import table
from federated.federation.loading import load_examples
from federated.foundation.errors import BadInput
from federated.machine import kept as room_of_kept
from federated.machine import large_arrays
from federated.machine.files import files_below
from federated.machine.kept import kept, stamps_of
from federated.machine.large_arrays import converted, growing, mapped, room
from federated.machine.memory import peak_mb

ROOT = Path(__file__).parent.parent

# Counts how often it is made; dies in the middle where it is told to, as of kill -9.
MAKES = """
import os, pathlib, sys, time
from federated.machine.kept import kept
def make(folder):
    with open(os.environ["FEDSTUDY_HOME"] + "/made", "a") as file:
        file.write("x")
    (folder / "half").write_text("half of it")
    if sys.argv[1] == "die":
        os._exit(9)
    time.sleep(0.5)
    (folder / "rest").write_text("all of it")
print(kept("k", {"a": 1}, make, lambda folder: sorted(os.listdir(folder))))
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def start(way: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", MAKES, way], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_of_two_processes_one_makes_it_and_after_a_kill_it_is_made_anew(home: Path) -> None:
    killed = start("die")
    killed.communicate(timeout=90)
    assert killed.returncode == 9
    together = [start("live"), start("live")]
    assert [each.communicate(timeout=90)[0].strip() for each in together] == ["['half', 'rest']"] * 2
    assert (home / "made").read_text() == "xx"
    cache = home / "datasets" / "read"
    assert [each.name for each in cache.iterdir() if each.suffix == ".partial"] == []


def of_bytes(identity: str, size: int) -> Path:
    def make(folder: Path) -> None:
        (folder / "content").write_bytes(bytes(size))

    return kept("k", identity, make, lambda folder: folder)


def test_what_was_not_used_for_longest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_of_kept, "LARGEST_CACHE", 250)
    a, b = of_bytes("a", 100), of_bytes("b", 100)
    for at, folder in enumerate((b, a)):  # b is the older one
        os.utime(folder, (at, at))
    c = of_bytes("c", 100)
    assert [folder.exists() for folder in (a, b, c)] == [True, False, True]
    d = of_bytes("d", 400)  # larger than all that may be kept: it alone stays
    assert [folder.exists() for folder in (a, b, c, d)] == [False, False, False, True]


def test_a_file_that_was_replaced_by_one_as_old_and_as_large_is_another(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("a")
    before = stamps_of({"data.csv": file.stat()})
    at = file.stat()
    file.write_text("b")
    os.utime(file, ns=(at.st_atime_ns, at.st_mtime_ns))
    assert stamps_of({"data.csv": file.stat()}) != before


@pytest.mark.parametrize("dtype", ["uint8", "float32", "<U3", ">i4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_mapped_file_is_what_numpy_saved_and_is_never_written_to(
    dtype: str, order: str, tmp_path: Path
) -> None:
    array = np.asarray(np.arange(24).reshape(2, 3, 4).astype(dtype), order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "a.npy", array)
    found = mapped(tmp_path / "a.npy")
    np.testing.assert_array_equal(found, array)
    found[0] = found[1]
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array)


def test_a_file_grows_row_by_row(tmp_path: Path) -> None:
    with growing(tmp_path / "a.npy", np.float32, (2,)) as file:
        for count in (3, 0, 1):
            file.add(np.full((count, 2), count, np.float32))
    assert np.load(tmp_path / "a.npy").tolist() == [[3, 3]] * 3 + [[1, 1]]
    with growing(tmp_path / "b.npy", np.int64):
        pass
    assert mapped(tmp_path / "b.npy").shape == (0,)


def test_files_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}, []], object), allow_pickle=True)
    np.save(tmp_path / "cut.npy", np.arange(1000))
    os.truncate(tmp_path / "cut.npy", 500)
    (tmp_path / "text.npy").write_text("text")
    for name, message in {
        "objects": "holds Python objects",
        "cut": "is cut off",
        "text": "is not an .npy file, or is damaged",
    }.items():
        with pytest.raises(ValueError, match=message):
            mapped(tmp_path / f"{name}.npy")


def test_room_beyond_half_of_the_memory_is_on_disk_and_leaves_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_arrays, "machine_mb", lambda: 0.001)
    array = room((100, 3), np.float64)
    assert array.shape == (100, 3)
    assert not array.any()
    array[7] = 7
    assert array.sum() == 21
    assert array.base is not None  # of a map
    assert list((home / "datasets").iterdir()) == []
    assert room((10,), np.uint8).base is None


def test_a_disk_that_is_too_small_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=r"MB are needed in .* move FEDSTUDY_HOME to a larger disk"):
        room((10**9, 10**6), np.float32)


def test_what_is_mapped_and_large_does_not_count_as_memory_that_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "a.npy", np.ones(4 * 10**6))  # 32 MB
    small = mapped(tmp_path / "a.npy")
    assert small.sum() == 4 * 10**6  # now all of it is in memory
    before = peak_mb()
    monkeypatch.setattr(large_arrays, "machine_mb", lambda: 60.0)
    mapped(tmp_path / "a.npy")
    assert before - peak_mb() == pytest.approx(32, abs=4)


def test_conversion_on_disk_is_that_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(3000.0).reshape(1000, 3)
    monkeypatch.setattr(large_arrays, "_BLOCK_BYTES", 100)
    monkeypatch.setattr(large_arrays, "machine_mb", lambda: 0.001)
    found = converted(array, np.float32)
    np.testing.assert_array_equal(found, array.astype(np.float32))
    assert found.base is not None
    assert converted(found, np.float32) is found


def test_a_disk_without_room_is_one_sentence(home: Path) -> None:
    def make(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(BadInput, match=r"the disk of .*read has no room left for what is kept there"):
        kept("k", 1, make, lambda folder: folder)
    assert [each.name for each in (home / "datasets" / "read").iterdir() if each.is_dir()] == []


def test_files_in_folders_and_in_linked_ones_are_found_once(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a", "c/d/e"):
        path = tmp_path / "all" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x").write_text("123")
    (tmp_path / "all" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "all")  # a circle
    found = files_below(tmp_path / "all")
    assert {name: stat.st_size for name, stat in found.items()} == {
        "a": 1,
        "b/1": 3,
        "b/2": 3,
        "c/d/e": 5,
        "link/x": 3,
    }
    assert list(found) == sorted(found)


def test_a_hidden_folder_that_may_not_be_read_is_passed_over_and_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("site=a", "_temporary", ".snapshot"):
        (tmp_path / name).mkdir()
    (tmp_path / "site=a" / "rows.parquet").touch()
    opened, closed = os.scandir, {"_temporary", ".snapshot"}

    def scandir(place: str) -> Any:
        if Path(place).name in closed:
            raise PermissionError(errno.EACCES, "Permission denied", place)
        return opened(place)

    monkeypatch.setattr(os, "scandir", scandir)
    assert list(files_below(tmp_path)) == ["site=a/rows.parquet"]
    closed.add("site=a")
    with pytest.raises(PermissionError):
        files_below(tmp_path)
    with pytest.raises(ValueError, match="site=a cannot be read: Permission denied"):
        table(tmp_path, target="y")


def test_a_file_with_the_bytes_and_the_time_of_the_former_one_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("x,y\n1.5,2.5\n2.5,3.5\n3.5,9.5\n")
    config = RunConfig.model_validate(
        {
            "dataset": {"name": "table", "path": str(file), "target": "y"},
            "model": "linear",
            "rounds": 1,
            "clients": 2,
        }
    )
    former = file.stat()
    assert load_examples(config.dataset).targets.tolist() == [2.5, 3.5, 9.5]
    file.write_text("x,y\n1.5,2.5\n2.5,3.5\n3.5,7.5\n")
    os.utime(file, ns=(former.st_atime_ns, former.st_mtime_ns))
    assert load_examples(config.dataset).targets.tolist() == [2.5, 3.5, 7.5]
