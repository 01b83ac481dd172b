"""Ready arrays: what their dtypes mean, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from federated.datasets import DATASETS, Examples
from federated.foundation.errors import BadInput

X = np.arange(8.0).reshape(4, 2)
Y = np.array([0, 1, 1, 0])


def read(folder: Path, arguments: dict[str, Any] | None = None, **saved: Any) -> Examples:
    np.savez(folder / "some.npz", **saved)
    return DATASETS["arrays"](folder / "some.npz", **(arguments or {}))()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.float64, np.float32),
        (np.float16, np.float32),
        (">f4", np.float32),
        (np.uint8, np.uint8),
        (bool, np.float32),
        (np.int8, np.int64),
        (np.uint16, np.int64),
        (">i8", np.int64),
    ],
)
def test_the_dtype_says_what_inputs_are(tmp_path: Path, given: Any, kept: Any) -> None:
    stored = X.astype(given)
    inputs = read(tmp_path, inputs=stored, targets=Y).inputs
    assert inputs.dtype == kept
    np.testing.assert_array_equal(inputs, stored)


def test_a_single_column_keeps_its_axis(tmp_path: Path) -> None:
    assert read(tmp_path, inputs=X[:, 0], targets=Y).inputs.shape == (4, 1)


@pytest.mark.parametrize(
    ("targets", "numbers", "classes"),
    [
        (np.array([0, 1, 2, 0], np.uint8), [0, 1, 2, 0], ("0", "1", "2")),
        (np.array([True, False, True, False]), [1, 0, 1, 0], ("False", "True")),
        (np.array(["pear", "apple", "pear", "fig"]), [2, 0, 2, 1], ("apple", "fig", "pear")),
        (np.array([b"b", b"a", b"b", b"a"]), [1, 0, 1, 0], ("a", "b")),
        (np.array([0.0, 1.0, 2.0, 0.0]), [0, 1, 2, 0], None),
        (np.array([[0.5, 1.0]] * 4), [[0.5, 1.0]] * 4, None),
    ],
)
def test_the_dtype_says_what_targets_are(tmp_path: Path, targets: Any, numbers: Any, classes: Any) -> None:
    examples = read(tmp_path, inputs=X, targets=targets)
    assert examples.targets.tolist() == numbers
    assert examples.classes == classes


def test_a_stated_task_wins(tmp_path: Path) -> None:
    whole = read(tmp_path, {"task": "classification"}, inputs=X, targets=Y.astype(float))
    assert whole.classes == ("0", "1")
    assert read(tmp_path, {"task": "regression"}, inputs=X, targets=Y).targets.dtype == np.float32


def test_client_ids_test_and_classes_are_found(tmp_path: Path) -> None:
    everything = {"inputs": X, "targets": Y, "client_ids": np.array(list("abab")), "test": Y == 1}
    everything |= {"classes": np.array(["no", "yes"]), "other": np.array([5, 6, 7, 8])}
    examples = read(tmp_path, **everything)
    assert examples.client_ids is not None
    assert examples.test is not None
    assert examples.client_ids.tolist() == ["a", "b", "a", "b"]
    assert examples.test.tolist() == [False, True, True, False]
    assert examples.classes == ("no", "yes")
    stated = read(tmp_path, {"client_ids": "other"}, **everything).client_ids
    assert stated is not None
    assert stated.tolist() == [5, 6, 7, 8]
    assert read(tmp_path, inputs=X, targets=Y).client_ids is None


@pytest.mark.parametrize(
    ("saved", "arguments", "message"),
    [
        ({"x": X, "y": Y}, {}, "there is no array 'inputs' in some.npz; it has: x, y"),
        ({"x": X, "y": Y}, {"inputs": "x"}, "there is no array 'targets' in some.npz; it has: x, y"),
        ({}, {"client_ids": "site"}, "there is no array 'site' in some.npz"),
        (
            {"targets": np.array([0, 1, 3, 0])},
            {},
            "0 ... 2 without gaps, but class 2 has no examples: got 0, 1, 3",
        ),
        ({"targets": np.array([1, 2, 1, 2])}, {}, "class 0 has no examples: got 1, 2"),
        ({"targets": np.array([10**12, 0, 1, 2])}, {}, "class 3 has no examples"),
        (
            {"targets": np.array([0, -1, 0, 1])},
            {},
            "0 ... 2 without gaps, but class 2 has no examples: got -1, 0, 1",
        ),
        ({"targets": np.zeros(4, int)}, {}, "all targets are class 0; at least 2 classes are needed"),
        ({"targets": np.array(["a"] * 4)}, {}, "all targets are 'a'"),
        (
            {"targets": np.eye(4, dtype=int)},
            {},
            "class targets must be [N], got [4, 4]; of one-hot targets take",
        ),
        ({"targets": X[:, 0] / 4}, {"task": "classification"}, "must be whole numbers or text, got 0.5"),
        (
            {"targets": np.array(list("abab"))},
            {"task": "regression"},
            "targets must be numbers for regression",
        ),
        (
            {"targets": np.array([0.5, np.nan, 1, 2])},
            {},
            "targets holds NaN or infinite values in 1 examples",
        ),
        (
            {"targets": np.array([0.5, 1e39, 1, 2])},
            {},
            "targets holds numbers beyond the range of 32-bit floats",
        ),
        ({"targets": Y[:3]}, {}, "targets has 3 entries, inputs has 4"),
        ({"inputs": X - 1e39}, {}, "inputs holds numbers beyond the range of 32-bit floats"),
        ({"inputs": np.where(X == 2, np.inf, X)}, {}, "inputs holds NaN or infinite values in 1 examples"),
        (
            {"inputs": X.astype(int) - 1},
            {},
            "inputs are integers (int64), which are read as tokens, but the smallest",
        ),
        ({"inputs": np.array(list("abcd"))}, {}, "inputs must be numbers, got <U1"),
        ({"inputs": np.zeros((4, 0))}, {}, "inputs is empty, its shape is [4, 0]"),
        ({"inputs": np.array(1.0)}, {}, "inputs must be an array with an entry for each example"),
        (
            {"inputs": np.array([{}, 1, 2, 3], object)},
            {},
            "'inputs' in some.npz cannot be read; save numbers or text",
        ),
        ({"test": Y}, {}, "test must be bool [N], got int64"),
        ({"client_ids": np.array([1.0, np.nan, 2, 2])}, {}, "client_ids has 1 missing values"),
    ],
)
def test_bad_arrays_are_refused(tmp_path: Path, saved: Any, arguments: Any, message: str) -> None:
    plain = {} if "x" in saved else {"inputs": X, "targets": Y}
    with pytest.raises(BadInput, match="dataset: arrays: .*" + re.escape(message)):
        read(tmp_path, arguments, **(plain | saved))


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "some.npz").write_bytes(content)
    with pytest.raises(
        BadInput, match=r"some\.npz is not an \.npz archive, or is damaged; it must be as"
    ) as error:
        DATASETS["arrays"](tmp_path / "some.npz")()
    assert "pickle" not in str(error.value), "numpy's advice is not ours"


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "some.npy", X)
    with pytest.raises(BadInput, match=r"some\.npy holds a single array"):
        DATASETS["arrays"](tmp_path / "some.npy")()


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", inputs=X, targets=Y)
    content = bytearray((tmp_path / "some.npz").read_bytes())
    at = content.index(X.tobytes())
    content[at] ^= 0xFF
    (tmp_path / "some.npz").write_bytes(content)
    with pytest.raises(BadInput, match="is damaged: the array 'inputs' cannot be read"):
        DATASETS["arrays"](tmp_path / "some.npz")()


def test_a_folder_of_npy_files_is_mapped_and_the_same_as_an_archive(tmp_path: Path) -> None:
    given = {
        "inputs": np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32),
        "targets": np.array([0, 1, 2, 0, 1, 2]),
        "client_ids": np.array(list("aabbcc")),
        "test": np.array([False] * 4 + [True] * 2),
    }
    np.savez(tmp_path / "all.npz", **given)
    (tmp_path / "folder").mkdir()
    for name, array in given.items():
        np.save(tmp_path / "folder" / f"{name}.npy", array)
    archive, folder = DATASETS["arrays"](tmp_path / "all.npz")(), DATASETS["arrays"](tmp_path / "folder")()
    assert folder.digest == archive.digest
    assert folder.inputs.flags.owndata is False
    folder.inputs[:] = 0
    np.testing.assert_array_equal(np.load(tmp_path / "folder" / "inputs.npy"), given["inputs"])
    with pytest.raises(
        BadInput, match="there is no array 'x' in folder; it has: client_ids, inputs, targets, test"
    ):
        DATASETS["arrays"](tmp_path / "folder", inputs="x")()
    (tmp_path / "folder" / "inputs.npy").write_bytes(b"no array")
    with pytest.raises(BadInput, match=r"inputs\.npy is not an \.npy file, or is damaged"):
        DATASETS["arrays"](tmp_path / "folder")()
