"""Signs of life of the processes of several machines, in the folder that they share (FEDSTUDY_CHECKPOINTS).

A lock says at once that a process of this machine is dead, but reaches few others. So each process changes a file of
its own every fifteen seconds, and one that has not done so for ninety is taken for dead. All times are of the clock of
the shared folder. A process that ends normally removes its file.
"""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from uuid import uuid4

from federated.machine.files import alone, whole
from federated.machine.folders import shared_folder

_SECONDS_BETWEEN = 15.0
SECONDS_TO_LIVE = 90.0


def beats_in(name: str) -> str:
    """Give signs of life for this process, from now to its end. Returns the mark of the shared folder, "" for none."""
    folder = shared_folder()
    return "" if folder is None else _begun(folder, name)


def mark() -> str:
    """What tells the shared folder from others; "" where there is none."""
    folder = shared_folder()
    return "" if folder is None else _mark_of(folder)


def is_silent(name: str) -> bool:
    """Whether a process that used the shared folder has ended, or has given no sign of life for too long.

    Raises OSError where the folder cannot be used, so that its files are not missed in an empty mount point.
    """
    folder = shared_folder()
    assert folder is not None
    with TemporaryFile(dir=folder / "processes") as made:
        now = os.fstat(made.fileno()).st_mtime
    try:
        return now - (folder / "processes" / name).stat().st_mtime > SECONDS_TO_LIVE
    except FileNotFoundError:
        return True


@cache
def _begun(folder: Path, name: str) -> str:
    file = folder / "processes" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    over = threading.Event()
    threading.Thread(target=_beat, args=[file, over], daemon=True, name="signs of life").start()
    atexit.register(file.unlink, missing_ok=True)
    atexit.register(over.set)  # before that, as the last one registered is the first one called
    return _mark_of(folder)


def _beat(file: Path, over: threading.Event) -> None:
    while not over.wait(_SECONDS_BETWEEN):
        with suppress(OSError):  # the share is away: the next sign may reach it
            file.touch()


def _mark_of(folder: Path) -> str:
    file = folder / "shared-id"
    if not file.exists():
        with alone(folder / "shared-id.lock"):
            if not file.exists():
                with whole(file) as partial:
                    partial.write_text(uuid4().hex, encoding="ascii")
    return file.read_text(encoding="ascii", errors="replace").strip()
