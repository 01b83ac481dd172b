"""A check that the process of a study is still alive.

A process keeps a file under `var/processes` locked for as long as it lives. The operating system releases the lock of
a process that dies, even by kill -9 or a power cut; a process that ends normally removes the file. A process id would
not do: it may be reused by now, or belong to another machine. Where the file is missing, a process of this machine
and home has ended; for one of another machine or home the answer is unknown, unless both use the same folder of
FEDSTUDY_CHECKPOINTS: then its signs of life there tell (`heartbeats`).
"""

from __future__ import annotations

import atexit
import hashlib
import platform
import re
from functools import cache
from pathlib import Path
from typing import IO
from uuid import uuid4

from federated.machine.files import alone, is_free, locked
from federated.machine.folders import home
from tasks.tracking.server import heartbeats

_NAMED = re.compile(r"(?:(?P<place>[0-9a-f]{32})\.)?(?P<name>[0-9a-f]{32})(?:@(?P<mark>[0-9a-f]{32}))?")
"""The name of a process, as MLflow has it, where anybody may write."""

_HELD: list[IO[bytes]] = []
"""Locked files of this process; closing one would unlock it."""


def this_process() -> str:
    """The name under which `is_dead` knows this process."""
    name = _name_in(_folder())
    mark = heartbeats.beats_in(name.rpartition(".")[2])
    return f"{name}@{mark}" if mark else name


def lives(process: str) -> bool:
    """Whether the process is known to live; False where it is dead, and where that cannot be known."""
    named = _NAMED.fullmatch(process)
    if named is None:
        return False
    try:
        with (_folder() / named["name"]).open("rb+") as file:
            return not is_free(file)
    except OSError:
        return _is_silent(named) is False


def is_dead(process: str) -> bool:
    """Whether the process is known to have ended.

    False where it lives, and where that cannot be known: it had another home folder, or its file system has no locks,
    and it did not use the folder of FEDSTUDY_CHECKPOINTS.
    """
    named = _NAMED.fullmatch(process)
    if named is None:
        return False
    try:
        with (_folder() / named["name"]).open("rb+") as file:
            return is_free(file)
    except FileNotFoundError:
        return named["place"] == _place(_folder()) or _is_silent(named) is True
    except OSError:
        return False


def _is_silent(named: re.Match[str]) -> bool | None:
    """Whether it gives no signs of life; None where it gives none to us, or the shared folder is away."""
    try:
        return heartbeats.is_silent(named["name"]) if named["mark"] == heartbeats.mark() != "" else None
    except OSError:
        return None


def others_live() -> bool:
    """Whether another process of this home may be alive; True where that is unknown."""
    if "." not in this_process():
        return True
    ours = {Path(file.name) for file in _HELD}
    return any(not _has_ended(file) for file in _folder().iterdir() if file not in ours)


def _has_ended(file: Path) -> bool:
    try:
        with file.open("rb+") as opened:
            return is_free(opened)
    except FileNotFoundError:
        return True
    except OSError:
        return False


@cache
def _name_in(folder: Path) -> str:
    name = uuid4().hex
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / name).open("wb")
    if not locked(file):  # a file system without locks, so its end cannot be known
        file.close()
        (folder / name).unlink()
        return name
    _HELD.append(file)
    atexit.register((folder / name).unlink, missing_ok=True)
    return f"{_place(folder)}.{name}"


def _place(folder: Path) -> str:
    """This machine and this home: a copy of the home elsewhere is another one."""
    mark = folder.with_name("home-id")
    with alone(folder.with_name("home-id.lock")):
        if not mark.exists():
            mark.write_text(uuid4().hex, encoding="ascii")
    home_id = mark.read_text(encoding="ascii", errors="replace")  # whatever happened to it
    return hashlib.sha256(f"{home_id} {folder} {platform.node()}".encode()).hexdigest()[:32]


def _folder() -> Path:
    return home() / "processes"
