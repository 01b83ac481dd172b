"""A partition as a file: which client holds which example of the data set. NPZ, or CSV for other tools."""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from data_partitioners.heterogeneity.label_counts import owners_of
from data_partitioners.partition import Partition

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


def write_csv(path: Path, partition: Partition) -> None:
    """Write the columns example, client (a name); a client without examples is lost."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["example", "client"])
        for name, held in zip(partition.names, partition.indices, strict=True):
            writer.writerows((example, name) for example in held.tolist())


def read_partition(path: Path) -> Listing:
    """Read what was written here or by another tool. Raises ValueError that says what is wrong.

    NPZ without `names`: `client` may be numbers or texts, and each distinct one is a client, in sorted order.
    """
    if not path.is_file():
        raise ValueError(f"partitioner: from_file: there is no file {path}")
    if path.suffix == ".csv":
        return _of_csv(path)
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


def _of_csv(path: Path) -> Listing:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
        header = rows[0].keys() if rows else ()
    if missing := [name for name in ("example", "client") if name not in header]:
        raise ValueError(
            f"partitioner: from_file: {path} has no column {missing[0]!r}; its first line must be example,client"
        )
    try:
        example = np.array([int(row["example"]) for row in rows], np.int64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"partitioner: from_file: {path}: an example must be a whole number: {error}"
        ) from error
    if any(row["client"] is None for row in rows):
        raise ValueError(f"partitioner: from_file: {path}: a line has no client")
    return _listing(path, example, np.array([row["client"] for row in rows]))


def _listing(path: Path, example: Any, client: Any, names: Any = None, data_digest: Any = None) -> Listing:
    if example.ndim != 1 or example.dtype.kind not in "iu" or client.shape != example.shape:
        raise ValueError(
            f"partitioner: from_file: {path}: example must be whole numbers [n] and client [n] as well, got "
            f"{example.dtype} {list(example.shape)} and {client.dtype} {list(client.shape)}"
        )
    digest = "" if data_digest is None else str(data_digest)
    if names is None:
        distinct, clients = np.unique(client, return_inverse=True)
        return Listing(example.astype(np.int64), clients, tuple(map(str, distinct)), digest)
    if client.dtype.kind not in "iu" or (len(client) and not 0 <= client.min() <= client.max() < len(names)):
        raise ValueError(
            f"partitioner: from_file: {path}: client must be the place of a name among names, 0 ... {len(names) - 1}"
        )
    return Listing(example.astype(np.int64), client.astype(np.int64), tuple(map(str, names)), digest)


def _narrow(value: Any) -> Any:
    """Whole numbers in 4 bytes each where that is enough."""
    if not isinstance(value, np.ndarray) or value.dtype != np.int64 or (len(value) and value.max() >= 2**31):
        return value
    return value.astype(np.int32)
