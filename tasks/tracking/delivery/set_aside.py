"""Records that cannot be delivered for a reason of their own: kept in order beside the journal, where they hold up no
others, until somebody tries them again.

Whatever has to come after one of them is kept with it: all of a run that could not be made, and what would overwrite,
or be overwritten by, what waits.
"""

from __future__ import annotations

import errno
import json
import os
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from federated.machine.files import alone, whole
from tasks.tracking.delivery import identities

_ENDED = ("status", "tag failure")
_OVERWRITES = {
    "reopen": _ENDED,
    "end": _ENDED,
    **{kind: (kind,) for kind in ("end below", "experiment tag", "inputs", "model", "conclude")},
}


class Told(NamedTuple):
    """Something told of a run. kind: which of the deliveries; files: the name of a folder of files, "" for none."""

    kind: str
    run: str
    content: dict[str, Any]
    files: str = ""


class Kept(NamedTuple):
    """A record that was set aside. line: as it stood in the journal, told: what it says, None where it is damaged."""

    why: str
    line: bytes
    told: Told | None


class Aside:
    """The records set aside in a folder of a journal. read: what a line of the journal says."""

    def __init__(self, folder: Path, read: Callable[[bytes], Told | None]) -> None:
        self._folder, self._read = folder, read
        self.file = folder / "aside"
        self._known: tuple[bytes, list[Kept]] = b"", []

    def records(self) -> list[Kept]:
        """All of them, in their order."""
        content = self._content()
        if content != self._known[0]:
            self._known = content, [self._kept(line) for line in content.splitlines()]
        return self._known[1]

    def add(self, line: bytes, why: str) -> None:
        """Keep a line of the journal."""
        self._content()  # under the name of now
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

    def retry(self, attempt: Callable[[Told], str | None]) -> int:
        """Try them all again, in order; how many were delivered.

        attempt: deliver it, and give the reason where it still cannot be; what it raises ends this, and all that has
        not been tried stays.
        """
        before = self._content()
        left: list[Kept] = []
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

    def _why_still(self, kept: Kept, left: list[Kept], attempt: Callable[[Told], str | None]) -> str | None:
        if kept.told is None or any(self.must_follow(kept.told, other.told) for other in left):
            return kept.why
        return attempt(kept.told)

    def held_up(self, told: Told, files: Path | None = None) -> Kept | None:
        """The record that has to be delivered before this one; None where there is none."""
        return next((each for each in self.records() if self.must_follow(told, each.told, files)), None)

    def must_follow(self, later: Told, earlier: Told | None, files: Path | None = None) -> bool:
        """Whether one record has to wait for another that waits. files: of the later one, where they are elsewhere."""
        if earlier is None:
            return False
        if earlier.kind == "create":
            return earlier.run in (later.run, later.content.get("parent"))
        if self._id(later.run) != self._id(earlier.run):
            return False
        return bool(self._changes(later, files) & self._changes(earlier))

    def _id(self, run: str) -> str:
        return identities.known(run, self._folder)

    def _changes(self, told: Told, files: Path | None = None) -> set[str]:
        """The values of its run that it overwrites; metrics and parameters are only added."""
        folder = files or (self._folder / "files" / told.files if told.files else None)
        return {
            *_OVERWRITES.get(told.kind, ()),
            *(f"tag {name}" for name in told.content.get("tags", ())),
            *(_names_in(folder) if folder and told.kind != "model" else ()),
        }

    def _content(self) -> bytes:
        older = self._folder / "refused"  # its name when nobody tried again
        if older.exists() and not self.file.exists():
            older.rename(self.file)
        try:
            return self.file.read_bytes()
        except FileNotFoundError:
            return b""

    def _kept(self, row: bytes) -> Kept:
        try:
            content = json.loads(row)
        except ValueError:  # torn by a kill
            return Kept("damaged", row, None)
        line = f"{content['record']}\n".encode()
        return Kept(content["why"], line, self._read(line))

    def _keep(self, left: Iterable[Kept], before: int) -> None:
        """before: how many bytes there were; what was added since stays."""
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
