"""Files in the format of safetensors, written and read one tensor at a time.

The library itself makes a copy of all tensors before it writes the first, and maps the whole file to read one.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from federated.machine.large_arrays import Damaged
from federated.machine.tensors.spilling import drop_pages

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}
_METADATA = "__metadata__"
_BLOCK_BYTES = 2**25
_LENGTH_BYTES, _ALIGNED, _LONGEST_HEADER = 8, 8, 100_000_000


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write all tensors. Raises OSError where that is not possible."""
    # Those of wide numbers first, so that each begins where its numbers may.
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Any] = {_METADATA: dict(metadata)}
    end = 0
    for name in order:
        value = tensors[name]
        start, end = end, end + value.numel() * value.element_size()
        header[name] = {
            "dtype": _NAMES[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNED)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(_LENGTH_BYTES, "little"))
        file.write(text)
        for _, content in in_turn(tensors, order):
            file.write(content)


def in_turn(tensors: Mapping[str, Tensor], order: Sequence[str]) -> Iterator[tuple[str, memoryview]]:
    """The bytes of one tensor after another. What was read of those on disk is let go of on the way."""
    read = 0
    for name in order:
        content = bytes_of(tensors[name])
        yield name, content
        read += len(content)
        if read > _BLOCK_BYTES:
            drop_pages()
            read = 0
    drop_pages()


def bytes_of(value: Tensor) -> memoryview:
    """The bytes of a tensor; copied only where it is not contiguous or not in this machine's memory."""
    return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


class TensorFile:
    """An open file: its metadata, the names of its tensors, and each of them when it is asked for."""

    def __init__(self, file: BufferedReader) -> None:
        """Raises Damaged where the file is none, is cut off or is longer than it says."""
        self._file = file
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        self._begin = _LENGTH_BYTES + length
        if size < _LENGTH_BYTES or length > _LONGEST_HEADER or self._begin > size:
            raise Damaged("it is cut off or no such file")
        header = json.loads(file.read(length))
        if not isinstance(header, dict):
            raise Damaged("its header is none")
        self.metadata: dict[str, str] = header.pop(_METADATA, {})
        self._entries = {name: _checked(name, entry) for name, entry in header.items()}
        end = 0
        for start, stop in sorted(entry[2] for entry in self._entries.values()):
            if start != end:
                raise Damaged("its tensors do not follow one another")
            end = stop
        if end != size - self._begin:
            raise Damaged(
                f"it holds {size - self._begin:,} bytes of tensors, and its header promises {end:,}"
            )

    @property
    def names(self) -> list[str]:
        """In alphabetical order."""
        return sorted(self._entries)

    def read(self, name: str) -> Tensor:
        """One tensor, on the CPU, in memory of its own."""
        dtype, shape, (start, stop) = self._entries[name]
        if start == stop:
            return torch.empty(shape, dtype=dtype)
        content = np.empty(stop - start, np.uint8)
        self._file.seek(self._begin + start)
        if self._file.readinto(content.data) != len(content):
            raise Damaged(f"it ends within {name}")
        return torch.from_numpy(content).view(dtype).view(shape)


@contextmanager
def opened(path: Path) -> Iterator[TensorFile]:
    """A file to read from. Raises OSError where it cannot be opened, and Damaged or ValueError where it is none."""
    with path.open("rb") as file:
        yield TensorFile(file)


def _checked(name: str, entry: Any) -> tuple[torch.dtype, tuple[int, ...], tuple[int, int]]:
    """(type, shape, bytes from and to) of a tensor. Raises Damaged where they do not fit one another."""
    try:
        dtype, shape = _TYPES[entry["dtype"]], tuple(map(int, entry["shape"]))
        start, stop = map(int, entry["data_offsets"])
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"its header does not describe {name}") from error
    if stop - start != math.prod(shape) * dtype.itemsize or min(start, *shape, 0) < 0:
        raise Damaged(f"its header does not describe {name}")
    return dtype, shape, (start, stop)
