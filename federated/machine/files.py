"""Atomic file writes, and file locks that the operating system releases when a process dies."""

from __future__ import annotations

import fcntl
import glob
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import uuid4


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file to write to, which takes the place of `path` at the end; where the block fails, `path` stays as it was.

    The file is in a folder of its own beside `path`, as some libraries write to yet another one beside it. What a
    writer of `path` that was killed has left there is removed; what another one is writing is not.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, path.name)
    name = f"{path.name}.{uuid4().hex}"
    path.with_name(name).mkdir()
    with _opened(path.with_name(name)) as descriptor:
        locked_now(descriptor)
        folder = path.with_name(name).rename(path.with_name(f"{name}.partial"))  # which others find locked
        try:
            yield folder / path.name
            (folder / path.name).replace(path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def alone(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Wait until no other process has `path`, and have it until the block ends. The file is made, and stays.

    waiting: is called first where another one has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        with suppress(OSError):  # a file system without locks: as well as it goes
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def locked_now(file: IO[bytes] | int) -> bool:
    """Lock an open file for this process until it is closed.

    False where another one has it, or the file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def locked(file: IO[bytes]) -> bool:
    """Lock an open file for this process until it is closed, once nobody else has it or looks whether somebody has.

    False where the file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def is_free(file: IO[bytes]) -> bool:
    """Whether no process has locked a file; False where the file system has no locks. Several may ask at a time."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    fcntl.flock(file, fcntl.LOCK_UN)
    return True


def remove_leftovers(folder: Path, name: str = "") -> None:
    """Remove what writers that were killed have left in a folder, of the files of one name or of all."""
    for left in folder.glob(f"{glob.escape(name)}.*.partial" if name else "*.partial"):
        with suppress(FileNotFoundError), _opened(left) as descriptor:  # it may just have been finished
            if not locked_now(descriptor):
                continue
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:  # of an older version
                left.unlink()


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """The descriptor of a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def changed_at(path: Path) -> float:
    """When a file or the entries of a folder last changed, in seconds since 1970; infinity where it has gone."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return math.inf


def files_below(folder: Path) -> dict[str, os.stat_result]:
    """The files in a folder and those within it, by their path below it, in the order of the paths.

    Folders that are links are entered, each folder once. A file that goes away meanwhile is left out, and so is a
    hidden folder that may not be read, such as `_temporary` of another person's program. Raises OSError.
    """
    found: dict[str, os.stat_result] = {}
    seen: set[tuple[int, int]] = set()
    waiting = [(str(folder), "")]
    while waiting:
        place, below = waiting.pop()
        here = os.stat(place)
        if (here.st_dev, here.st_ino) in seen:
            continue
        seen.add((here.st_dev, here.st_ino))
        with ExitStack() as opened:
            try:
                entries = opened.enter_context(os.scandir(place))
            except PermissionError:
                if not os.path.basename(place).startswith((".", "_")) or not below:
                    raise
                continue
            for entry in entries:
                if entry.is_dir():
                    waiting.append((entry.path, f"{below}{entry.name}/"))
                elif entry.is_file():
                    with suppress(FileNotFoundError):
                        found[below + entry.name] = entry.stat()
    return dict(sorted(found.items()))
