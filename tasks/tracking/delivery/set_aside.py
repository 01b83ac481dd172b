"""Records that MLflow rejects, kept in order beside the journal until they are retried. They do not block the others.

Records that depend on one of them are kept with it: all records of a run that could not be created, and records that
overwrite the same values.
"""

from __future__ import annotations

import errno
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from federated.foundation.masking import masked
from federated.machine.files import alone, whole
from tasks.tracking.delivery import run_ids

_ENDED = ("status", "tag failure")
_OVERWRITES = {
    "reopen": _ENDED,
    "end": _ENDED,
    **{kind: (kind,) for kind in ("end below", "experiment tag", "inputs", "model", "conclude")},
}


class Record(NamedTuple):
    """One record of a run. kind: see `record_kinds`; files: the name of a folder of files, "" for none."""

    kind: str
    run: str
    content: dict[str, Any]
    files: str = ""


class SetAside(NamedTuple):
    """A record that was set aside, and why. line: its line in the journal; record: its content, None if damaged."""

    why: str
    line: bytes
    record: Record | None


class SetAsideRecords:
    """The records set aside in the folder of a journal. read: parses a line of the journal."""

    def __init__(self, folder: Path, read: Callable[[bytes], Record | None]) -> None:
        self._folder, self._read = folder, read
        self.file = folder / "aside"
        self._known: tuple[bytes, list[SetAside]] = b"", []

    def records(self) -> list[SetAside]:
        """All of them, in their order."""
        content = self._content()
        if content != self._known[0]:
            self._known = content, [self._kept(line) for line in content.splitlines()]
        return self._known[1]

    @property
    def kept(self) -> str:
        """The sentence that says where they are."""
        return f"What it rejects is kept in {self.file}, and `./fedstudy sync` tries it again"

    def stated(self, records: Sequence[SetAside]) -> str:
        """`3 records (files of RUN: PermissionError: ...)`: the number of these, and the first error."""
        record = records[0].record
        first = f"{record.kind} of {self._id(record.run)}: " if record is not None else ""
        number = "one record" if len(records) == 1 else f"{len(records)} records"
        return f"{number} ({first}{masked(records[0].why)})"

    def add(self, line: bytes, why: str) -> None:
        """Add a line of the journal."""
        self._content()  # which renames a file of an older version
        row = _row(line, why)
        with alone(self._folder / "append.lock"), self.file.open("ab", buffering=0) as file:
            end = file.tell()
            try:
                if file.write(row) != len(row):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise

    def retry(self, attempt: Callable[[Record], str | None]) -> int:
        """Retry all records in order. Returns the number delivered.

        attempt: delivers a record, or returns the reason why it cannot be. An error that it raises ends the retry;
        the records not tried yet are kept.
        """
        before = self._content()
        left: list[SetAside] = []
        untried = deque(self._kept(line) for line in before.splitlines())
        done = 0
        try:
            while untried:
                if (why := self._why_still(untried[0], left, attempt)) is None:
                    done += 1
                else:
                    left.append(untried[0]._replace(why=why))
                untried.popleft()
        finally:
            self._keep([*left, *untried], len(before))
        return done

    def _why_still(
        self, kept: SetAside, left: list[SetAside], attempt: Callable[[Record], str | None]
    ) -> str | None:
        if kept.record is None or any(self.must_follow(kept.record, other.record) for other in left):
            return kept.why
        return attempt(kept.record)

    def blocking(self, record: Record, files: Path | None = None) -> SetAside | None:
        """The first record set aside on which this one depends; None if there is none."""
        return next((each for each in self.records() if self.must_follow(record, each.record, files)), None)

    def must_follow(self, later: Record, earlier: Record | None, files: Path | None = None) -> bool:
        """Whether a record depends on an earlier undelivered one. files: the later one's, if not in the journal."""
        if earlier is None:
            return False
        if earlier.kind == "create":
            return earlier.run in (later.run, later.content.get("parent"))
        if self._id(later.run) != self._id(earlier.run):
            return False
        return bool(self._changes(later, files) & self._changes(earlier))

    def _id(self, run: str) -> str:
        return run_ids.known(run, self._folder)

    def _changes(self, record: Record, files: Path | None = None) -> set[str]:
        """The values of its run that a record overwrites. Metrics and parameters are only added."""
        folder = files or (self._folder / "files" / record.files if record.files else None)
        return {
            *_OVERWRITES.get(record.kind, ()),
            *(f"tag {name}" for name in record.content.get("tags", ())),
            *(_names_in(folder) if folder and record.kind != "model" else ()),
        }

    def _content(self) -> bytes:
        older = self._folder / "refused"  # the file's name in older versions
        if older.exists() and not self.file.exists():
            older.rename(self.file)
        try:
            return self.file.read_bytes()
        except FileNotFoundError:
            return b""

    def _kept(self, row: bytes) -> SetAside:
        try:
            content = json.loads(row)
            line, why = f"{content['record']}\n".encode(), str(content["why"])
        except (ValueError, TypeError, KeyError):  # torn by a kill, or changed by somebody
            return SetAside("damaged", row, None)
        return SetAside(why, line, self._read(line))

    def _keep(self, left: Iterable[SetAside], before: int) -> None:
        """Rewrite the file. before: its length when it was read; rows added since are kept."""
        with alone(self._folder / "append.lock"):
            content = b"".join(_row(each.line, each.why) for each in left) + self._content()[before:]
            if not content:
                self.file.unlink(missing_ok=True)
                return
            with whole(self.file) as file:
                file.write_bytes(content)


def _row(line: bytes, why: str) -> bytes:
    return json.dumps({"why": why, "record": line.decode("utf-8", "replace").strip()}).encode() + b"\n"


def _names_in(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
