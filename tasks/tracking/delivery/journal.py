"""A journal of undelivered records on disk: any process of a home appends, one at a time delivers in order.

    records     one a line: a digest, and JSON; a torn last one, of a process that was killed, is cut off
    delivered   how many bytes of `records` have been delivered; both are emptied once that is all
    files/      what belongs to a record: a folder each, which stays where the record is set aside
    ids/        MLflow's id of each run that was made from a record
    aside       records that cannot be delivered for a reason of their own, with the reason: they hold up no others

Delivering may stop anywhere and begin again with the last record, so whoever delivers must be able to do it twice.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from federated.foundation.errors import bounded
from federated.machine.files import alone, whole
from tasks.tracking.delivery.set_aside import Aside, Told

T = TypeVar("T")

_RESERVE_BYTES = 4_000_000
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Journal:
    """The journal in this folder, which is created by the first append."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records, self._delivered = folder / "records", folder / "delivered"
        self.aside = Aside(folder, read)

    @property
    def waits(self) -> bool:
        """Whether any record is left to deliver."""
        try:
            return self._records.stat().st_size > 0
        except OSError:
            return False

    def reserve(self) -> None:
        """Reserve space for the case of a full disk: all of it, or an OSError is raised."""
        file = self.folder / "reserve"
        if file.exists() and file.stat().st_size >= _RESERVE_BYTES:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with file.open("wb") as opened:
                os.posix_fallocate(opened.fileno(), 0, _RESERVE_BYTES)
        except OSError:
            file.unlink(missing_ok=True)
            raise

    def clean(self) -> None:
        """Remove files and ids that no record needs. Not while another process may be about to name one."""
        with alone(self.folder / "append.lock"):
            said = [file.read_bytes() for file in (self._records, self.aside.file) if file.exists()]
            for kept in (*(self.folder / "files").glob("*"), *(self.folder / "ids").glob("*")):
                if any(kept.name.encode() in each for each in said):
                    continue
                if kept.is_dir():
                    shutil.rmtree(kept, ignore_errors=True)
                else:
                    kept.unlink(missing_ok=True)

    def append(self, told: Told, files: Path | None = None) -> bool:
        """Append a record and a copy of its files; whether it is the first pending one. Raises OSError."""
        return self._with_reserve(partial(self._keep, self._append, told, files))

    def set_aside(self, told: Told, files: Path | None, why: str) -> None:
        """The same for a record that cannot be delivered through its own fault."""
        add = partial(self.aside.add, why=bounded(why))
        self._with_reserve(partial(self._keep, add, told, files))

    def _with_reserve(self, keep: Callable[[], T]) -> T:
        """Do it, on a full disk with the space in reserve."""
        try:
            return keep()
        except OSError as error:
            if error.errno not in _NO_SPACE or not (self.folder / "reserve").exists():
                raise
        (self.folder / "reserve").unlink(missing_ok=True)
        return keep()

    def _keep(self, write: Callable[[bytes], T], told: Told, files: Path | None) -> T:
        """Write the record, beside a copy of its files; where that fails, there is neither."""
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = told._replace(files=self._copied(files)) if files is not None else told
        try:
            return write(_line(kept))
        except OSError:
            self.drop_files(kept)
            raise

    def _append(self, line: bytes) -> bool:
        with alone(self.folder / "append.lock"), self._records.open("ab+", buffering=0) as file:
            end = _whole_records(file.fileno())
            file.truncate(end)
            if end == 0:  # a mark of what was there before, where a kill left it
                self._delivered.unlink(missing_ok=True)
            try:
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
        return end == 0

    def _copied(self, files: Path) -> str:
        name = uuid4().hex
        try:
            shutil.copytree(files, self.folder / "files" / name)
        except (OSError, shutil.Error) as error:
            shutil.rmtree(self.folder / "files" / name, ignore_errors=True)
            raise _first_of(error) from error
        for file in (self.folder / "files" / name).rglob("*"):
            _to_disk(file)
        return name

    def files_of(self, told: Told) -> Path | None:
        """The folder of a record's files."""
        return self.folder / "files" / told.files if told.files else None

    def drop_files(self, told: Told) -> None:
        """Delete the files of a delivered record."""
        if told.files:
            shutil.rmtree(self.folder / "files" / told.files, ignore_errors=True)

    def next(self, after: int) -> bytes | None:
        """The first undelivered record, with its line's end; None, and an empty file, after the last.

        after: how many bytes of such records to leave out; then the file stays.
        """
        line = self._line_at_mark(after)
        if line.endswith(b"\n"):
            return line
        if after:
            return None
        with alone(self.folder / "append.lock"):  # nobody writes now: what has no end never will
            line = self._line_at_mark(0)
            if line.endswith(b"\n"):
                return line
            os.truncate(self._records, 0)
            self._delivered.unlink(missing_ok=True)  # last: records without a mark would be delivered again
        return None

    def _line_at_mark(self, after: int) -> bytes:
        with self._records.open("rb") as file:
            file.seek(self._mark() + after)
            return file.readline()

    def _mark(self) -> int:
        """The number of bytes delivered; zero where it is unknown, because delivering twice is harmless."""
        try:
            return int(self._delivered.read_bytes())
        except (FileNotFoundError, ValueError):
            return 0

    def note(self, length: int) -> None:
        """Mark this many more bytes of the file as delivered."""
        mark = self._mark() + length
        with whole(self._delivered) as file:
            file.write_text(str(mark))


def _line(told: Told) -> bytes:
    content = json.dumps(told._asdict())
    return f"{_digest(content)} {content}\n".encode()


def read(line: bytes) -> Told | None:
    """The record of a line; None where the line is damaged."""
    digest, _, content = line.decode("utf-8", "replace").rstrip("\n").partition(" ")
    return Told(**json.loads(content)) if digest == _digest(content) else None


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _whole_records(descriptor: int) -> int:
    """Bytes up to the end of the last whole line."""
    end = os.fstat(descriptor).st_size
    while end and (chunk := os.pread(descriptor, min(end, 4096), max(end - 4096, 0))):
        at = chunk.rfind(b"\n")
        if at >= 0:
            return max(end - 4096, 0) + at + 1
        end = max(end - 4096, 0)
    return 0


def _to_disk(file: Path) -> None:
    if file.is_file():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())


def _first_of(error: OSError) -> OSError:
    """copytree gathers what went wrong as texts; a full disk is what matters among them."""
    full = any(os.strerror(number) in str(error) for number in _NO_SPACE)
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if full else error
