"""What could not be told yet, on disk: appended in order by any process of a home, delivered in order by one at a time.

    records     one a line: a digest, and JSON; a torn last one, of a process that was killed, is cut off
    delivered   how many bytes of `records` have been delivered; both are emptied once that is all
    files/      what belongs to a record: a folder each, which stays where the record is refused
    refused     records that can never be delivered, with the reason, so that they do not hold up the others

Delivering may stop anywhere and begin again with the last record, so whoever delivers must be able to do it twice.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from federated.foundation.errors import bounded
from federated.machine.files import alone, locked_now, whole

_RESERVE_BYTES = 4_000_000
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Told(NamedTuple):
    """Something told of a run. kind: which of the deliveries; files: the name of a folder of files, "" for none."""

    kind: str
    run: str
    content: dict[str, Any]
    files: str = ""


Deliver = Callable[[Told, Path | None], None]
Refused = Callable[[Exception], bool]


class Journal:
    """The journal in this folder, which is made when something is appended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records, self._delivered = folder / "records", folder / "delivered"

    @property
    def waits(self) -> bool:
        """Whether anything is left to deliver."""
        try:
            return self._records.stat().st_size > 0
        except OSError:
            return False

    @property
    def refused(self) -> int:
        """How many records were set aside."""
        try:
            return len((self.folder / "refused").read_bytes().splitlines())
        except FileNotFoundError:
            return 0

    def reserve(self) -> None:
        """Keep some space for the day when the disk is full."""
        file = self.folder / "reserve"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as opened:
                os.posix_fallocate(opened.fileno(), 0, _RESERVE_BYTES)

    def append(self, told: Told, files: Path | None = None) -> bool:
        """Keep a record and a copy of its files; whether it is the first that waits. Raises OSError where it cannot."""
        try:
            return self._append(told, files)
        except OSError as error:
            if error.errno not in _NO_SPACE or not (self.folder / "reserve").exists():
                raise
        (self.folder / "reserve").unlink(missing_ok=True)
        return self._append(told, files)

    def _append(self, told: Told, files: Path | None) -> bool:
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = told._replace(files=self._keep(files)) if files is not None else told
        with alone(self.folder / "append.lock"), self._records.open("ab+", buffering=0) as file:
            end = _whole_records(file.fileno())
            file.truncate(end)
            if end == 0:  # a mark of what was there before, where a kill left it
                self._delivered.unlink(missing_ok=True)
            line = _line(kept)
            try:
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
        return end == 0

    def _keep(self, files: Path) -> str:
        name = uuid4().hex
        try:
            shutil.copytree(files, self.folder / "files" / name)
        except (OSError, shutil.Error) as error:
            shutil.rmtree(self.folder / "files" / name, ignore_errors=True)
            raise _first_of(error) from error
        for file in (self.folder / "files" / name).rglob("*"):
            _to_disk(file)
        return name

    def deliver(self, deliver: Deliver, later: Refused, wait: bool = True) -> int:
        """Deliver record by record until none is left; how many. Raises what `deliver` raises where `later` says so.

        later: whether an error may pass; other errors set the record aside. wait: for another process that delivers.
        """
        if not self.waits:
            return 0
        if wait:
            with alone(self.folder / "deliver.lock"):
                return self._deliver_all(deliver, later)
        with (self.folder / "deliver.lock").open("ab") as lock:
            return self._deliver_all(deliver, later) if locked_now(lock) else 0

    def _deliver_all(self, deliver: Deliver, later: Refused) -> int:
        done = 0
        while (line := self._next()) is not None:
            told = _read(line)
            if told is None:
                self._set_aside(line, "damaged")
            heard = told is not None and self._deliver_one(told, line, deliver, later)
            self._note(len(line))
            if heard and told is not None and told.files:
                shutil.rmtree(self.folder / "files" / told.files, ignore_errors=True)
            done += 1
        return done

    def _deliver_one(self, told: Told, line: bytes, deliver: Deliver, later: Refused) -> bool:
        """Whether it is delivered, and not set aside."""
        try:
            deliver(told, self.folder / "files" / told.files if told.files else None)
        except Exception as error:
            if later(error):
                raise
            self._set_aside(line, bounded(f"{type(error).__name__}: {error}"))
            return False
        return True

    def _next(self) -> bytes | None:
        """The first record that is not delivered, with its line's end; None, and an empty file, after the last."""
        line = self._line_at_mark()
        if line.endswith(b"\n"):
            return line
        with alone(self.folder / "append.lock"):  # nobody writes now: what has no end never will
            line = self._line_at_mark()
            if line.endswith(b"\n"):
                return line
            os.truncate(self._records, 0)
            self._delivered.unlink(missing_ok=True)  # last: records without a mark would be delivered again
        return None

    def _line_at_mark(self) -> bytes:
        with self._records.open("rb") as file:
            file.seek(self._mark())
            return file.readline()

    def _mark(self) -> int:
        """Bytes delivered; where nobody knows, none: delivering twice has the effect of once."""
        try:
            return int(self._delivered.read_bytes())
        except (FileNotFoundError, ValueError):
            return 0

    def _note(self, length: int) -> None:
        mark = self._mark() + length
        with whole(self._delivered) as file:
            file.write_text(str(mark))

    def _set_aside(self, line: bytes, why: str) -> None:
        with (self.folder / "refused").open("ab") as file:
            file.write(
                json.dumps({"why": why, "record": line.decode("utf-8", "replace").strip()}).encode() + b"\n"
            )


def _line(told: Told) -> bytes:
    content = json.dumps(told._asdict())
    return f"{_digest(content)} {content}\n".encode()


def _read(line: bytes) -> Told | None:
    """The record of a line; None where it is not what was written."""
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
