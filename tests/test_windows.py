"""Recordings cut into windows: whose they are, what they are labelled, and what is refused."""

from __future__ import annotations

import re
import struct
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from federated.datasets.windows import windows
from federated.examples.examples import Examples
from federated.foundation.errors import BadInput


def record(path: Path, labels: str, start: float = 0.0, **columns: Any) -> None:
    """One recording of two signals: x counts up, y is its negative; a letter a sample is its label."""
    x = start + np.arange(len(labels), dtype=float)
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"time": x * 10, "x": x, "y": -x, "label": list(labels), **columns}).to_csv(
        path, index=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    record(tmp_path / "data" / "s01" / "s01_1.csv", "aaabbbb")
    record(tmp_path / "data" / "s02" / "s02_1.csv", "bbb", start=100)
    record(tmp_path / "data" / "s02" / "s02_2.csv", "ab", start=200)
    (tmp_path / "data" / "about.csv").write_text("what\nnothing\n")
    return tmp_path / "data"


def loaded(path: Path, **changes: Any) -> Examples:
    arguments: dict[str, Any] = {
        "signals": ("x", "y"),
        "target": "label",
        "client": "(s[0-9]+)_",
        "length": 3,
    }
    return windows(path, **{**arguments, "files": "*s0*.csv", **changes})()


def test_windows_do_not_overlap_and_know_their_client_and_label(folder: Path) -> None:
    """Seven samples are two windows of three, three are one, two are none; the last sample of the first is dropped."""
    examples = loaded(folder)
    assert examples.inputs[:, 0].tolist() == [[0, 1, 2], [3, 4, 5], [100, 101, 102]]
    assert examples.inputs[:, 1].tolist() == [[0, -1, -2], [-3, -4, -5], [-100, -101, -102]]
    assert examples.client_ids is not None
    assert examples.client_ids.tolist() == ["s01", "s01", "s02"]
    assert examples.classes == ("a", "b")
    assert examples.targets.tolist() == [0, 1, 1]


def test_a_window_has_the_label_of_most_of_its_samples_and_of_as_many_the_first(folder: Path) -> None:
    record(folder / "s03_1.csv", "abbaabbb")
    examples = loaded(folder, files="*s03*", length=4)
    assert examples.classes == ("a", "b")
    assert examples.targets.tolist() == [0, 1]


def test_a_zip_is_read_as_the_folder_in_it(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for file in sorted(folder.rglob("*.csv"), reverse=True):
            archive.write(file, f"root/{file.relative_to(folder)}")
    one, other = loaded(folder), loaded(tmp_path / "all.zip")
    assert one.digest == other.digest


def test_a_zip_that_unpacks_to_too_much_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "s01" / "s01_1.csv", "s01_1.csv")
        archive.writestr("s02_1.csv", b"0" * 10**6)
        archive.writestr("notes.txt", b"0" * 10**7)  # is no recording
    monkeypatch.setattr(sys.modules[windows.__module__], "_MOST_BYTES", 10**6)
    with pytest.raises(BadInput, match=r"unpack to 0\.0 GB, more than 0\.0; unpack them into a folder"):
        loaded(tmp_path / "all.zip", files="s0*.csv")
    assert len(loaded(tmp_path / "all.zip", files="s01*.csv").inputs) == 2


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_could_unpack_to_more_than_it_says_is_refused(
    folder: Path, tmp_path: Path, method: int
) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", method) as archive:
        archive.write(folder / "s01" / "s01_1.csv", "s01_1.csv")
    with pytest.raises(BadInput, match=r"s01_1\.csv in .*all\.zip is packed by another method than deflate"):
        loaded(tmp_path / "all.zip", files="s0*.csv")


@pytest.mark.slow
def test_of_a_recording_with_a_false_size_no_more_is_unpacked(folder: Path, tmp_path: Path) -> None:
    path, size = tmp_path / "all.zip", 10**8
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("s01_1.csv", b"0" * size)
    said = path.read_bytes().replace(struct.pack("<I", size), struct.pack("<I", 1000))
    path.write_bytes(said)
    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match=r"all\.zip is not a \.zip file, or is damaged: Bad CRC"):
            loaded(path, files="s0*.csv")
        assert tracemalloc.get_traced_memory()[1] < size / 10
    finally:
        tracemalloc.stop()


def test_whole_numbers_are_the_same_labels_with_and_without_a_point(folder: Path) -> None:
    record(folder / "s04_1.csv", "111222")
    record(folder / "s04_2.csv", "......", label=[1.0, 1.0, 1.0, 2.5, 2.5, 2.5])
    examples = loaded(folder, files="*s04*")
    assert examples.classes == ("1", "2", "2.5")
    assert examples.targets.tolist() == [0, 1, 0, 2]


def test_folders_that_a_zip_lists_are_no_recordings(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.mkdir("s01_folder")
        archive.write(folder / "s01" / "s01_1.csv", "s01_folder/s01_1.csv")
    assert len(loaded(tmp_path / "all.zip", files="*s01*").inputs) == 2


def test_signals_are_standardised_by_the_training_windows_alone(folder: Path) -> None:
    examples = loaded(folder)
    assert examples.fit is not None
    ready = examples.fitted(np.array([0, 1])).inputs
    x = np.arange(6.0)
    np.testing.assert_allclose(ready[:2, 0].ravel(), (x - x.mean()) / x.std(), rtol=1e-6)
    np.testing.assert_allclose(ready[2, 1, 0], (-100 + x.mean()) / x.std(), rtol=1e-6)
    record(folder / "s04_1.csv", "aaabbb", y=[1.0] * 6)
    flat = loaded(folder, files="*s04*")
    assert flat.fit is not None
    assert (flat.fitted(np.arange(2)).inputs[:, 1] == 0).all()


def test_the_archive_is_fetched_once(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "origin.zip", "w") as archive:
        for file in folder.rglob("*.csv"):
            archive.write(file, str(file.relative_to(folder)))
    address, kept = (tmp_path / "origin.zip").as_uri(), tmp_path / "deep" / "kept.zip"
    first = loaded(kept, download=address)
    (tmp_path / "origin.zip").unlink()
    assert loaded(kept, download=address).digest == first.digest
    with pytest.raises(BadInput, match=r"cannot download .*put the file into"):
        loaded(tmp_path / "other.zip", download=address)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signals": ()}, "signals must name at least one column"),
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"length": 8}, "matches '*s0*.csv' has 8 samples; found 3 files"),
        ({"client": "s[0-9]+"}, "client 's[0-9]+' has no group"),
        ({"client": "("}, "client '(' is not a regular expression"),
        ({"client": "(s01)"}, "client '(s01)' is not found in 's02/s02_1.csv'"),
        ({"client": "(t[0-9]+)?_"}, "client '(t[0-9]+)?_' is not found in 's01/s01_1.csv'"),
        ({"client": "(t*)"}, "client '(t*)' is not found in 's01/s01_1.csv'"),
        ({"signals": ("z",)}, "there is no column 'z' in s01/s01_1.csv; it has: time, x, y, label"),
        ({"signals": ("label",)}, "s01/s01_1.csv: a signal is not numeric"),
        ({"files": "*s02_1*"}, "all windows are 'b'; at least 2 classes are needed"),
        ({"files": "*.csv"}, "there is no column 'label' in about.csv; it has: what"),
        ({"download": "http://nowhere/"}, "must end in .zip where it is to be downloaded"),
    ],
    ids=str,
)
def test_what_cannot_work_is_said(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, BadInput), match=re.escape(message)):
        loaded(folder, **changes)


def test_a_gap_and_a_broken_archive_are_said(folder: Path, tmp_path: Path) -> None:
    record(folder / "s05_1.csv", "aaa", y=[1.0, None, 2.0])
    with pytest.raises(BadInput, match=r"the column 'y' of s05_1.csv is missing in row 2"):
        loaded(folder)
    for value in (np.inf, 1e300):
        record(folder / "s05_1.csv", "aaa", y=[1.0, 2.0, value])
        with pytest.raises(BadInput, match=r"the column 'y' of s05_1.csv is not a finite float32 in row 3"):
            loaded(folder)
    (tmp_path / "broken.zip").write_text("no archive")
    with pytest.raises(BadInput, match=r"is not a .zip file, or is damaged"):
        loaded(tmp_path / "broken.zip")
