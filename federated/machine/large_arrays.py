"""Arrays on disk that are used as if they were in memory: of any size, read where they are needed."""

from __future__ import annotations

import math
import mmap
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np

from federated.foundation.errors import BadInput
from federated.machine.folders import home
from federated.machine.memory import MAPPED, machine_mb

_SHARE_IN_MEMORY = 0.5
_NO_RESERVE = 0x4000 if sys.platform == "linux" else 0x40
"""MAP_NORESERVE, which Python 3.11 does not name: a private map may be larger than the memory."""
_HEADER_BYTES = 128
_BLOCK_BYTES = 2**24


class Damaged(ValueError):
    """Raised for a file that holds no array, or not all of it."""


def too_large(num_bytes: float) -> bool:
    """Whether an array of so many bytes belongs on disk: more than half of the machine's memory."""
    return num_bytes > _SHARE_IN_MEMORY * machine_mb() * 1e6


def check_memory(what: str, num_bytes: float, instead: str) -> None:
    """Raise BadInput where what is to be read whole takes more than the machine's memory. instead: what to do."""
    if num_bytes > (there := machine_mb() * 1e6):
        raise BadInput(
            f"dataset: {what} would take about {num_bytes / 1e9:,.1f} GB of memory, and this machine has "
            f"{there / 1e9:,.1f} GB; {instead}"
        )


def room(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of zeros to fill; one that is `too_large` is in a file at home that ends with this process.

    Raises BadInput where the disk has no room for it.
    """
    num_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    return on_disk(shape, dtype) if too_large(num_bytes) else np.zeros(shape, dtype)


def on_disk(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of zeros to fill, in a file at home that ends with this process. Raises BadInput as `room` does."""
    num_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    folder = home() / "datasets"
    folder.mkdir(parents=True, exist_ok=True)
    check_disk(folder, num_bytes)
    with TemporaryFile(dir=folder) as file:  # has no name any more: nothing is left of it, whatever happens
        os.posix_fallocate(file.fileno(), 0, num_bytes)
        MAPPED.add(os.fstat(file.fileno()).st_ino)
        return np.frombuffer(mmap.mmap(file.fileno(), num_bytes), dtype).reshape(shape)


def check_disk(folder: Path, num_bytes: float) -> None:
    """Raise BadInput where a file of so many bytes does not fit on the disk of a folder."""
    there = os.statvfs(folder)
    if num_bytes > (free := there.f_bavail * there.f_frsize):
        raise BadInput(
            f"dataset: {num_bytes / 1e6:,.0f} MB are needed in {folder}, whose disk has {free / 1e6:,.0f} MB left; "
            "move FEDSTUDY_HOME to a larger disk, or make the inputs smaller"
        )


def mapped(path: Path) -> np.ndarray:
    """The array of an .npy file, read from the disk where it is needed; writing to it never reaches the file.

    Raises Damaged for a file that is none, is cut off, or holds Python objects.
    """
    with path.open("rb") as file:
        try:
            shape, in_columns, dtype = _header(file)
        except (ValueError, SyntaxError) as error:
            raise Damaged(f"{path.name} is not an .npy file, or is damaged") from error
        start, size = file.tell(), math.prod(shape) * dtype.itemsize
        if dtype.hasobject:
            raise Damaged(f"{path.name} holds Python objects; save numbers or text")
        if os.fstat(file.fileno()).st_size < start + size:
            raise Damaged(f"{path.name} is cut off: its header promises {size:,} bytes of data")
        if not size:
            return np.zeros(shape, dtype)
        if too_large(size):
            MAPPED.add(os.fstat(file.fileno()).st_ino)
        flags = mmap.MAP_PRIVATE | _NO_RESERVE
        content = mmap.mmap(file.fileno(), start + size, flags, mmap.PROT_READ | mmap.PROT_WRITE)
    flat = np.frombuffer(content, dtype, offset=start)
    return flat.reshape(shape[::-1]).T if in_columns else flat.reshape(shape)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """(shape, whether columns are contiguous, dtype); the file stands at the data afterwards."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


class Growing:
    """An .npy file [N, ...] to which rows are added, whose number is known at the end."""

    def __init__(self, file: IO[bytes], dtype: Any, row: tuple[int, ...] = ()) -> None:
        self._file, self._dtype, self._row, self._rows = file, np.dtype(dtype), row, 0

    def add(self, rows: np.ndarray) -> None:
        """Append rows [n, ...]."""
        assert (rows.dtype, rows.shape[1:]) == (self._dtype, self._row), (rows.dtype, rows.shape)
        self._file.write(rows.tobytes())
        self._rows += len(rows)

    def begin(self) -> None:
        """Leave room for the header."""
        self._file.write(bytes(_HEADER_BYTES))

    def end(self) -> None:
        """Write the header."""
        self._file.seek(0)
        header = {
            "shape": (self._rows, *self._row),
            "fortran_order": False,
            "descr": np.lib.format.dtype_to_descr(self._dtype),
        }
        np.lib.format.write_array_header_1_0(self._file, header)
        assert self._file.tell() == _HEADER_BYTES, self._file.tell()


@contextmanager
def growing(path: Path, dtype: Any, row: tuple[int, ...] = ()) -> Iterator[Growing]:
    """An .npy file that is written row by row. row: the shape of one."""
    with path.open("wb") as file:
        array = Growing(file, dtype, row)
        array.begin()
        yield array
        array.end()


def blocks_of(array: np.ndarray) -> Iterator[slice]:
    """Slices of rows of some megabytes each, which make up the array [N, ...]."""
    step = max(1, _BLOCK_BYTES // max(array[:1].nbytes, 1))
    yield from (slice(start, start + step) for start in range(0, len(array), step))


def converted(array: np.ndarray, dtype: Any) -> np.ndarray:
    """The array [N, ...] as another type; as it is where it has that type. One that is `too_large` is on disk."""
    if array.dtype == dtype:
        return array
    if not too_large(array.size * np.dtype(dtype).itemsize):
        return array.astype(dtype)
    found = room(array.shape, dtype)
    for rows in blocks_of(array):
        found[rows] = array[rows]
    return found
