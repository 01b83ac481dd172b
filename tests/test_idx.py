"""Files in the format of MNIST."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from federated.datasets import DATASETS
from federated.foundation.errors import BadInput

TRAIN = np.arange(3 * 2 * 4, dtype=np.uint8).reshape(3, 2, 4)
TEST = TRAIN[:2] + 100


def images(pixels: np.ndarray) -> bytes:
    return struct.pack(">4I", 2051, *pixels.shape) + pixels.tobytes()


def labels(numbers: list[int]) -> bytes:
    return struct.pack(">2I", 2049, len(numbers)) + bytes(numbers)


def write(folder: Path, mark: str = "-", zipped: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    parts = {
        f"train-images{mark}idx3-ubyte": images(TRAIN),
        f"train-labels{mark}idx1-ubyte": labels([2, 0, 1]),
        f"t10k-images{mark}idx3-ubyte": images(TEST),
        f"t10k-labels{mark}idx1-ubyte": labels([1, 0]),
    }
    for name, content in parts.items():
        (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(content) if zipped else content)
    return folder


@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("subfolder", ["", "raw"])
def test_every_naming_is_read(tmp_path: Path, mark: str, zipped: bool, subfolder: str) -> None:
    write(tmp_path / subfolder, mark, zipped)
    examples = DATASETS["idx"](tmp_path)()
    assert examples.inputs.dtype == np.uint8
    np.testing.assert_array_equal(examples.inputs, np.concatenate([TRAIN, TEST])[:, None])
    assert examples.targets.tolist() == [2, 0, 1, 1, 0]
    assert examples.classes == ("0", "1", "2")
    assert examples.test is not None
    assert examples.test.tolist() == [False, False, False, True, True]


def test_a_file_that_was_unpacked_but_kept_its_name_is_read(tmp_path: Path) -> None:
    write(tmp_path)
    plain = tmp_path / "train-images-idx3-ubyte"
    plain.rename(plain.with_name(plain.name + ".gz"))
    assert len(DATASETS["idx"](tmp_path)().inputs) == 5


def test_a_missing_file_is_named_before_loading(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"the files train-images-idx3-ubyte, .*t10k-labels-idx1-ubyte is needed"
    ):
        DATASETS["idx"](tmp_path / "nowhere")
    (write(tmp_path) / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(ValueError, match=f"path {tmp_path} holds no t10k-labels-idx1-ubyte; a folder with"):
        DATASETS["idx"](tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "train-images-idx3-ubyte",
            images(TRAIN)[:-1],
            "is truncated: its header promises 24 values, it has 23",
        ),
        (
            "train-images-idx3-ubyte",
            images(TRAIN) + b"0",
            "is too long: its header promises 24 values, it has 25",
        ),
        ("train-images-idx3-ubyte", b"\0\0\x08", "is truncated: 3 bytes are shorter than the header of 16"),
        (
            "train-images-idx3-ubyte",
            labels([0] * 24),
            r"starts with the number 2049, expected 2051 \(images\)",
        ),
        ("t10k-labels-idx1-ubyte", images(TEST), r"starts with the number 2051, expected 2049 \(labels\)"),
        ("train-images-idx3-ubyte", gzip.compress(images(TRAIN), mtime=0)[:-9], "is truncated or damaged"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (write(tmp_path) / name).write_bytes(content)
    with pytest.raises(BadInput, match=f"dataset: idx: .*{name} {message}"):
        DATASETS["idx"](tmp_path)()


def test_counts_and_sizes_must_agree(tmp_path: Path) -> None:
    (write(tmp_path) / "t10k-labels-idx1-ubyte").write_bytes(labels([0, 1, 1]))
    with pytest.raises(BadInput, match="t10k-images-idx3-ubyte has 2 images, the labels beside it are 3"):
        DATASETS["idx"](tmp_path)()
    (write(tmp_path) / "t10k-images-idx3-ubyte").write_bytes(images(TEST.reshape(2, 4, 2)))
    with pytest.raises(BadInput, match=r"training images are \[2, 4\] pixels, test images \[4, 2\]"):
        DATASETS["idx"](tmp_path)()


def test_a_digit_without_images_is_refused(tmp_path: Path) -> None:
    (write(tmp_path) / "train-labels-idx1-ubyte").write_bytes(labels([3, 0, 1]))
    with pytest.raises(BadInput, match="the class '2' has no examples"):
        DATASETS["idx"](tmp_path)()


def test_fashion_mnist(real_data: Path) -> None:
    examples = DATASETS["idx"](real_data / "fashion-mnist")()
    assert examples.inputs.shape == (70_000, 1, 28, 28)
    assert examples.test is not None
    train = ~examples.test
    assert np.bincount(examples.targets[train]).tolist() == [6000] * 10
    assert np.bincount(examples.targets[examples.test]).tolist() == [1000] * 10
    # The md5 of the published train-images file, unpacked, whose first 16 bytes are the header.
    unpacked = struct.pack(">4I", 2051, 60_000, 28, 28) + examples.inputs[train].tobytes()
    assert hashlib.md5(unpacked).hexdigest() == "f4a8712d7a061bf5bd6d2ca38dc4d50a"


def test_missing_files_are_downloaded_once(tmp_path: Path) -> None:
    served, wanted = write(tmp_path / "served", zipped=True), tmp_path / "wanted"
    load = DATASETS["idx"](wanted, download=served.as_uri() + "/")
    first = load()
    assert first.targets.tolist() == [2, 0, 1, 1, 0]
    for file in served.iterdir():
        file.unlink()
    assert load().digest == first.digest


def test_a_download_that_fails_says_where_the_file_belongs(tmp_path: Path) -> None:
    nowhere = (tmp_path / "nowhere").as_uri() + "/"
    with pytest.raises(BadInput, match=r"cannot download file:.*put the file into .*wanted yourself"):
        DATASETS["idx"](tmp_path / "wanted", download=nowhere)()
