"""Images in the file format of MNIST."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from federated.datasets.download import fetch
from federated.examples.examples import Examples, bad_data
from federated.machine.large_arrays import check_memory

_MAGIC = {3: 0x00000803, 1: 0x00000801}  # unsigned bytes in 3 dimensions (images) or 1 (labels)
_PARTS = (("train-images", 3), ("train-labels", 1), ("t10k-images", 3), ("t10k-labels", 1))


def idx(path: Path, download: str | None = None) -> Callable[[], Examples]:
    """Grey images of bytes [N, 1, height, width] with their own test split: MNIST, Fashion-MNIST, ...

    path: a folder with the four files, or with torchvision's subfolder `raw` that has them; gzipped or not,
        named `train-images-idx3-ubyte` or `train-images.idx3-ubyte`. The training examples come first, each
        part in the order of its file.
    download: an address that ends in "/" and has the four files with ".gz"; those that are missing are fetched
        from there, once. Without it, missing files are an error before anything runs.
    """
    if not download:
        _files(path)

    def load() -> Examples:
        if download:
            _fetch_missing(path, download)
        files = _files(path)
        train_images, train_labels, test_images, test_labels = (
            _read(file, dimensions) for file, (_, dimensions) in zip(files, _PARTS, strict=True)
        )
        _check_counts(files[0], train_images, train_labels)
        _check_counts(files[2], test_images, test_labels)
        _check_sizes(train_images, test_images)
        labels = np.concatenate([train_labels, test_labels]).astype(np.int64)
        return Examples(
            "idx",
            np.concatenate([train_images, test_images])[:, None],
            labels,
            tuple(map(str, range(labels.max(initial=0) + 1))),
            test=np.arange(len(labels)) >= len(train_labels),
            source=str(path),
        )

    return load


def _files(path: Path) -> list[Path]:
    """The four files. Raises ValueError where one is missing."""
    return [_find(path, stem, dimensions) for stem, dimensions in _PARTS]


def _fetch_missing(path: Path, address: str) -> None:
    path.mkdir(parents=True, exist_ok=True)
    for stem, dimensions in _PARTS:
        try:
            _find(path, stem, dimensions)
        except ValueError:
            name = f"{stem}-idx{dimensions}-ubyte.gz"
            fetch(address + name, path / name, "idx")


def _find(path: Path, stem: str, dimensions: int) -> Path:
    """The file of one part. Raises ValueError where there is none."""
    if not path.is_dir():
        raise ValueError(f"path {path} is not a folder; {_needed()}")
    names = [f"{stem}{mark}idx{dimensions}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    for folder in (path, path / "raw"):
        for name in names:
            if (folder / name).is_file():
                return folder / name
    raise ValueError(f"path {path} holds no {names[0]}; {_needed()}")


def _needed() -> str:
    names = ", ".join(f"{stem}-idx{dimensions}-ubyte" for stem, dimensions in _PARTS)
    return f"a folder with the files {names} is needed, each with or without .gz"


def _read(file: Path, dimensions: int) -> np.ndarray:
    """The array of one file, uint8; its header says the shape in big-endian 32-bit integers."""
    start = 4 * (1 + dimensions)
    _check_size(file, start)
    content = _content(file)
    if len(content) < start:
        raise bad_data(
            "idx", f"{file} is truncated: {len(content)} bytes are shorter than the header of {start}"
        )
    magic, *shape = struct.unpack_from(f">{1 + dimensions}I", content)
    if magic != _MAGIC[dimensions]:
        raise bad_data(
            "idx",
            f"{file} starts with the number {magic}, expected {_MAGIC[dimensions]} "
            f"({'images' if dimensions == 3 else 'labels'}); it is not of this format, or wrongly named",
        )
    if len(content) - start != math.prod(shape):
        problem = "is truncated" if len(content) - start < math.prod(shape) else "is too long"
        raise bad_data(
            "idx",
            f"{file} {problem}: "
            f"its header promises {math.prod(shape):,} values, it has {len(content) - start:,}",
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _check_size(file: Path, start: int) -> None:
    """Raise BadInput where the file would not fit in memory twice: as it is, and beside that of the other part."""
    with file.open("rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(file) if packed else file.open("rb") as opened:
            header = opened.read(start)
    except (EOFError, OSError, zlib.error):
        return  # what is wrong with it is said where it is read
    if len(header) == start and struct.unpack_from(">I", header)[0] == _MAGIC[start // 4 - 1]:
        promised = math.prod(struct.unpack(f">{start // 4}I", header)[1:])
        size = promised if packed else min(promised, file.stat().st_size)
        check_memory(
            f"{file.name}, which is read whole,",
            2 * size,
            "write images and labels as .npy files into a folder and use `arrays`, which maps them from disk",
        )


def _content(file: Path) -> bytes:
    # What the first bytes say counts: browsers unpack on download and keep the name.
    content = file.read_bytes()
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise bad_data("idx", f"{file} is truncated or damaged: {error}") from error


def _check_counts(file: Path, images: np.ndarray, labels: np.ndarray) -> None:
    if len(images) != len(labels):
        raise bad_data("idx", f"{file} has {len(images):,} images, the labels beside it are {len(labels):,}")


def _check_sizes(train: np.ndarray, test: np.ndarray) -> None:
    if train.shape[1:] != test.shape[1:]:
        raise bad_data(
            "idx", f"training images are {list(train.shape[1:])} pixels, test images {list(test.shape[1:])}"
        )
