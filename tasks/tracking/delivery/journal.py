"""A journal of undelivered records on disk. All processes of a home append to it; one at a time delivers, in order.

    records     one a line: a digest, and JSON; a torn last one, of a process that was killed, is cut off
    delivered   how many bytes of `records` have been delivered; both are emptied once that is all
    files/      what belongs to a record: a folder each, which stays where the record is set aside
    ids/        MLflow's id of each run that was created from a record
    aside       records that MLflow rejects, with the reason: they do not block the others

A delivery may stop anywhere and start again with the last record, so every delivery must be idempotent.
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
from tasks.tracking.delivery.set_aside import Record, SetAsideRecords

T = TypeVar("T")

_RESERVE_BYTES = 4_000_000
_FIELDS = {"kind": str, "run": str, "content": dict, "files": str}
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Journal:
    """The journal in this folder, which is created by the first append."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records, self._delivered = folder / "records", folder / "delivered"
        self.aside = SetAsideRecords(folder, read)

    @property
    def waits(self) -> bool:
        """Whether any record is pending."""
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
        """Remove files and ids that no record refers to. Call it only while no other process may append a record."""
        with alone(self.folder / "append.lock"):
            contents = [file.read_bytes() for file in (self._records, self.aside.file) if file.exists()]
            for kept in (*(self.folder / "files").glob("*"), *(self.folder / "ids").glob("*")):
                if any(kept.name.encode() in content for content in contents):
                    continue
                if kept.is_dir():
                    shutil.rmtree(kept, ignore_errors=True)
                else:
                    kept.unlink(missing_ok=True)

    def append(self, record: Record, files: Path | None = None) -> bool:
        """Append a record and a copy of its files. Returns whether it is the first pending one. Raises OSError."""
        return self._with_reserve(partial(self._keep, self._append, record, files))

    def set_aside(self, record: Record, files: Path | None, why: str) -> None:
        """Keep a record that MLflow rejects, and a copy of its files, apart from the journal. Raises OSError."""
        add = partial(self.aside.add, why=bounded(why))
        self._with_reserve(partial(self._keep, add, record, files))

    def _with_reserve(self, keep: Callable[[], T]) -> T:
        """Call `keep`; on a full disk, free the reserve and call it again."""
        try:
            return keep()
        except OSError as error:
            if error.errno not in _NO_SPACE or not (self.folder / "reserve").exists():
                raise
        (self.folder / "reserve").unlink(missing_ok=True)
        return keep()

    def _keep(self, write: Callable[[bytes], T], record: Record, files: Path | None) -> T:
        """Write the record and a copy of its files, or neither."""
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = record._replace(files=self._copied(files)) if files is not None else record
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

    def files_of(self, record: Record) -> Path | None:
        """The folder of a record's files."""
        return self.folder / "files" / record.files if record.files else None

    def drop_files(self, record: Record) -> None:
        """Delete the files of a delivered record."""
        if record.files:
            shutil.rmtree(self.folder / "files" / record.files, ignore_errors=True)

    def next(self, after: int) -> bytes | None:
        """The first pending record, with its newline; None after the last one, when the file is emptied.

        after: the number of bytes of pending records to skip; the file is then kept.
        """
        line = self._line_at_mark(after)
        if line.endswith(b"\n"):
            return line
        if after:
            return None
        with alone(self.folder / "append.lock"):  # no process writes now: a record without an end stays so
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
        """The number of bytes delivered; zero if it is not the end of a record, as delivering twice is harmless."""
        try:
            mark = int(self._delivered.read_bytes())
            with self._records.open("rb") as file:
                return mark if mark > 0 and os.pread(file.fileno(), 1, mark - 1) == b"\n" else 0
        except (FileNotFoundError, ValueError, OverflowError):
            return 0

    def note(self, length: int) -> None:
        """Mark this many more bytes of the file as delivered."""
        mark = self._mark() + length
        with whole(self._delivered) as file:
            file.write_text(str(mark))


def _line(record: Record) -> bytes:
    content = json.dumps(record._asdict())
    return f"{_digest(content)} {content}\n".encode()


def read(line: bytes) -> Record | None:
    """The record of a line; None where the line is damaged, or written by a version with other fields."""
    digest, _, content = line.decode("utf-8", "replace").rstrip("\n").partition(" ")
    if digest != _digest(content):
        return None
    fields = json.loads(content)
    if not isinstance(fields, dict) or {name: type(value) for name, value in fields.items()} != _FIELDS:
        return None
    return Record(**fields)


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
