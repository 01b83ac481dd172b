"""Data that were read once and are kept at home, in folders by digest; the oldest go where there are too many."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, TypeVar

from federated.foundation.errors import BadInput
from federated.foundation.limits import LARGEST_CACHE
from federated.machine.files import alone, remove_leftovers, whole
from federated.machine.folders import home
from federated.machine.large_arrays import Damaged

T = TypeVar("T")

DATASETS = Path("datasets", "read")


def kept(
    kind: str,
    identity: Any,
    make: Callable[[Path], None],
    read: Callable[[Path], T],
    below: Path = DATASETS,
) -> T:
    """What `read` returns of the folder that `make` has filled for this identity, now or at an earlier time.

    kind: a word for the folder's name. identity: JSON, all that the content depends on. A folder appears whole or not
    at all: of two processes one makes it and the other waits, and of one that was killed nothing is used.
    below: where at home the folders are; `LARGEST_CACHE` is of each such place.
    """
    cache = home() / below
    folder = _folder(kind, identity, cache)
    with _locked(folder):
        if is_new := not folder.is_dir():
            _make(folder, make)
        os.utime(folder)
        try:
            found = read(folder)
        except Damaged:  # as a machine that lost its power may leave it
            shutil.rmtree(folder)
            _make(folder, make)
            found = read(folder)
    if is_new:
        remove_leftovers(cache)
        _forget_oldest(cache, folder)
    return found


def is_kept(kind: str, identity: Any, below: Path = DATASETS) -> bool:
    """Whether `kept` would make nothing."""
    return _folder(kind, identity, home() / below).is_dir()


def _folder(kind: str, identity: Any, cache: Path) -> Path:
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]
    return cache / f"{kind}-{digest}"


def _make(folder: Path, make: Callable[[Path], None]) -> None:
    try:
        with whole(folder) as partial:
            partial.mkdir()
            make(partial)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BadInput(
                f"FEDSTUDY_HOME: the disk of {folder.parent} has no room left for what is kept there; free some, or "
                "move it to a larger one"
            ) from error
        raise


def _locked(folder: Path) -> AbstractContextManager[None]:
    """One of sixteen locks: who has it reads, makes or removes the folder."""
    return alone(folder.with_name(f"{folder.name.rpartition('-')[2][0]}.lock"))


def stamps_of(files: Mapping[str, os.stat_result]) -> list[tuple[str, int, int, int]]:
    """(path, bytes, time of its last change, time of the last change of its entry, in ns) of each file.

    The last is the one that a program which copies the former time along cannot set.
    """
    return [(path, at.st_size, at.st_mtime_ns, at.st_ctime_ns) for path, at in files.items()]


def _forget_oldest(cache: Path, used: Path) -> None:
    """Remove what was not used for longest while all of it is larger than `LARGEST_CACHE`.

    What another process has mapped stays readable there until it ends.
    """
    sizes = {folder: _bytes_of(folder) for folder in sorted(_folders(cache), key=_last_use)}
    total = sum(sizes.values())
    for folder, size in sizes.items():
        if total <= LARGEST_CACHE:
            return
        if folder != used:
            forget(folder)
            total -= size


def forget(folder: Path, unused_since: float = math.inf) -> None:
    """Remove a folder of what is kept, unless it was used after that time. Who has its files mapped keeps them."""
    with _locked(folder), suppress(FileNotFoundError):  # which another process may have removed
        if _last_use(folder) < unused_since:
            gone = folder.rename(folder.with_name(f"{folder.name}.{os.getpid()}.partial"))
            shutil.rmtree(gone, ignore_errors=True)


def unused(below: Path, since: float) -> list[Path]:
    """The folders of this place at home that nobody used since that time (seconds since 1970)."""
    cache = home() / below
    return sorted(each for each in _folders(cache) if _last_use(each) < since) if cache.is_dir() else []


def _folders(cache: Path) -> list[Path]:
    return [each for each in cache.iterdir() if each.is_dir() and each.suffix != ".partial"]


def _last_use(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _bytes_of(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except FileNotFoundError:
        return 0
