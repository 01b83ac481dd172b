"""Copies of tensors that stay in memory up to a bound, and beyond it are in a memory-mapped file."""

from __future__ import annotations

import mmap
import os
import weakref
from collections import deque
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from federated.foundation.errors import BadInput
from federated.machine.memory import MAPPED

_ALIGNED = 64
_SMALLEST, _LARGEST = 2**20, 2**30
_OPEN: weakref.WeakSet[Spilling] = weakref.WeakSet()


class _Place(NamedTuple):
    """The place of a tensor's bytes: in the part of the file, from this byte on; part None: in memory."""

    part: int | None
    start: int
    size: int


class Spilling:
    """Keeps copies of tensors on the CPU: in memory while all that are in use take at most `most_bytes`, then on disk.

    A copy is a tensor like any other, and its place is free again as soon as nothing refers to it. The file is in
    `folder`, made when it is needed and without a name, so that nothing is left of it when the process ends, however
    that happens. Its parts grow with it, so that their number stays small.
    """

    def __init__(self, most_bytes: int, folder: Path, field: str) -> None:
        """field: what a study states the bound in, for the error where the disk is full."""
        self._most, self._folder, self._field = most_bytes, folder, field
        self._in_memory = self._in_file = 0
        self._file = -1
        self._parts: list[mmap.mmap] = []
        self._begins: list[int] = []  # of the parts, in the file
        self._room = (0, 0)  # (the next free byte of the last part, its size)
        self._free: dict[int, list[_Place]] = {}
        self._left: deque[_Place] = deque()
        self._lock = Lock()
        _OPEN.add(self)

    @property
    def memory_bytes(self) -> int:
        """The bytes of the copies in memory that are in use."""
        with self._lock:
            self._collect()
            return self._in_memory

    @property
    def file_bytes(self) -> int:
        """The bytes of the copies in the file that are in use."""
        with self._lock:
            self._collect()
            return self._in_file

    def kept(self, value: Tensor) -> Tensor:
        """A copy. Raises BadInput where the disk has no room for it."""
        if not value.numel():
            return value.detach().cpu().clone()
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        with self._lock:
            self._collect()
            place, array = self._placed(content.numel())
            if place.part is None:
                torch.from_numpy(array).copy_(content)
            else:
                self._write(content.numpy(), self._begins[place.part] + place.start)
        weakref.finalize(array, self._left.append, place).atexit = False
        return torch.from_numpy(array).view(value.dtype).view(value.shape)

    def drop_pages(self) -> None:
        """Let go of what was read from the file: it is read again where it is needed."""
        for part in self._parts:
            part.madvise(mmap.MADV_DONTNEED)

    def _collect(self) -> None:
        """Note the places that are free again. A finalizer may run at any time, and does no more than to name one."""
        while self._left:
            place = self._left.popleft()
            if place.part is None:
                self._in_memory -= place.size
            else:
                self._in_file -= place.size
                self._free.setdefault(_rounded(place.size), []).append(place)

    def _placed(self, size: int) -> tuple[_Place, np.ndarray]:
        """A place for so many bytes, and the array there."""
        if self._in_memory + size <= self._most:
            self._in_memory += size
            return _Place(None, 0, size), np.empty(size, np.uint8)
        free = self._free.get(_rounded(size))
        place = free.pop()._replace(size=size) if free else self._new_place(size)
        self._in_file += size
        assert place.part is not None
        return place, np.frombuffer(self._parts[place.part], np.uint8, size, place.start)

    def _new_place(self, size: int) -> _Place:
        start, room = self._room
        if start + _rounded(size) > room:
            start, room = 0, self._grow(_rounded(size))
        self._room = start + _rounded(size), room
        return _Place(len(self._parts) - 1, start, size)

    def _grow(self, least: int) -> int:
        """Add a part to the file, as large as all before it within limits; its size."""
        end = self._begins[-1] + len(self._parts[-1]) if self._parts else 0
        wanted = max(least, min(max(end, _SMALLEST), _LARGEST))
        size = -(-wanted // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        try:
            self._open()
            os.posix_fallocate(self._file, end, size)
            self._parts.append(mmap.mmap(self._file, size, offset=end))
        except OSError as error:
            raise self._full(size, error) from error
        self._begins.append(end)
        return size

    def _open(self) -> None:
        if self._file >= 0:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=self._folder) as file:  # has no name any more
            self._file = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._file)
        MAPPED.add(os.fstat(self._file).st_ino)

    def _write(self, content: np.ndarray, start: int) -> None:
        """By the file, not the map: a disk that is full is an error there, and here the end of the process."""
        rest = content.data
        try:
            while rest:
                written = os.pwrite(self._file, rest, start)
                rest, start = rest[written:], start + written
        except OSError as error:
            raise self._full(len(rest), error) from error

    def _full(self, size: int, error: OSError) -> BadInput:
        return BadInput(
            f"{self._field}: what clients remember needs {size / 1e6:,.0f} MB more on the disk of {self._folder}: "
            f"{error.strerror}; make room there, move FEDSTUDY_HOME to a larger disk, or state a larger {self._field}; "
            "--resume then goes on from the last checkpoint"
        )


def drop_pages() -> None:
    """Let go of what was read from the files of all stores, which would else count as memory of this process."""
    for store in list(_OPEN):
        store.drop_pages()


def _rounded(size: int) -> int:
    return -(-max(size, 1) // _ALIGNED) * _ALIGNED
