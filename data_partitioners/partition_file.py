"""A partition as a file that lists the client of each example. NPZ, or CSV for other tools."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from data_partitioners.heterogeneity.label_counts import owners_of
from data_partitioners.ids import distinct_ids, tidied
from data_partitioners.partition import Partition
from data_partitioners.partition_csv import read_csv

SUFFIXES = (".npz", ".csv")


class Listing(NamedTuple):
    """The content of a file.

    examples: int64 [n], numbers in the data set. clients: int64 [n], the place of each one's client among `names`.
    data_digest: of the data set it was made for; empty where the file does not say.
    """

    examples: np.ndarray
    clients: np.ndarray
    names: tuple[str, ...]
    data_digest: str = ""


def write_npz(
    file: Path | IO[bytes], partition: Partition, data_digest: str, more: Mapping[str, Any] | None = None
) -> None:
    """Write a partition whose indices are numbers in the data set, compressed.

    Arrays `example` and `client` [n] in the order of the partition, `names` [K], `data_digest`, those in `more`.
    """
    columns: dict[str, Any] = {
        "example": _narrow(partition.flat),
        "client": _narrow(owners_of(partition)),
        "names": np.array(partition.names),
        "data_digest": data_digest,
        **{name: _narrow(array) for name, array in (more or {}).items()},
    }
    np.savez_compressed(file, **columns)


def read_partition(path: Path) -> Listing:
    """Read what was written here or by another tool. Raises ValueError that says what is wrong.

    NPZ without `names`: `client` may be numbers or texts, and each distinct one is a client, in the order of
    `distinct_ids`.
    """
    if not path.is_file():
        raise ValueError(f"partitioner: from_file: there is no file {path}")
    if path.suffix.lower() == ".csv":
        return Listing(*read_csv(path))
    try:
        # A single array (.npy) is loaded as such and is no context: TypeError.
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except (
        OSError,
        ValueError,
        EOFError,
        AttributeError,
        TypeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(
            f"partitioner: from_file: path {path} is not an NPZ file of plain arrays, or is damaged; it must hold "
            "the arrays example and client, as numpy.savez writes them"
        ) from error
    if missing := [name for name in ("example", "client") if name not in arrays]:
        raise ValueError(
            f"partitioner: from_file: {path} has no array {missing[0]!r}; it has {', '.join(arrays) or 'none'}"
        )
    return _listing(
        path, **{name: arrays.get(name) for name in ("example", "client", "names", "data_digest")}
    )


def _listing(path: Path, example: Any, client: Any, names: Any = None, data_digest: Any = None) -> Listing:
    examples = _numbers_of_examples(path, example)
    if client.shape != examples.shape:
        raise ValueError(
            f"partitioner: from_file: {path}: example and client must both be [n], got "
            f"{list(examples.shape)} and {list(client.shape)}"
        )
    digest = "" if data_digest is None else str(data_digest)
    if names is None:
        ids = (
            np.array([tidied(name) for name in client.tolist()])
            if client.dtype.kind == "U"
            else _as_whole(client)
        )
        distinct, clients = distinct_ids(ids)
        return Listing(examples, clients, tuple(map(str, distinct)), digest)
    if client.dtype.kind not in "iu" or (len(client) and not 0 <= client.min() <= client.max() < len(names)):
        raise ValueError(
            f"partitioner: from_file: {path}: client must be the place of a name among names, 0 ... {len(names) - 1}"
        )
    return Listing(examples, client.astype(np.int64), tuple(map(str, names)), digest)


def _numbers_of_examples(path: Path, example: Any) -> np.ndarray:
    """The numbers of the examples, int64 [n]; whole numbers that became floats elsewhere are read as well."""
    numbers = _as_whole(example)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        first = f", the first is {strange[0]}" if len(strange := _fractions(numbers)) else ""
        raise ValueError(
            f"partitioner: from_file: {path}: example must be whole numbers [n], got {numbers.dtype} "
            f"{list(numbers.shape)}{first}"
        )
    if len(numbers) and numbers.max() > np.iinfo(np.int64).max:
        raise ValueError(f"partitioner: from_file: {path}: there is no example {numbers.max()}")
    return numbers.astype(np.int64)


def _as_whole(numbers: np.ndarray) -> np.ndarray:
    """Floats that are whole numbers, all of them, as int64; anything else as it is."""
    if numbers.dtype.kind == "f" and not len(_fractions(numbers)):
        return numbers.astype(np.int64)
    return numbers


def _fractions(numbers: np.ndarray) -> Any:
    """Those that are not whole, or so large that a float no longer tells them apart."""
    if numbers.dtype.kind != "f":
        return numbers[:0]
    return numbers[~((numbers == np.floor(numbers)) & (np.abs(numbers) < 2**53))]


def _narrow(value: Any) -> Any:
    """Whole numbers in 4 bytes each where that is enough."""
    if not isinstance(value, np.ndarray) or value.dtype != np.int64 or (len(value) and value.max() >= 2**31):
        return value
    return value.astype(np.int32)
