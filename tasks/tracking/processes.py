"""Whether the process that runs a study still lives.

A process keeps a file under `var/processes` locked for as long as it lives; the system takes the lock from whoever
dies, of kill -9 or a power cut too. A process id would not do: another process may have it by now, or it is one of
another machine.
"""

from __future__ import annotations

import atexit
import re
from functools import cache
from pathlib import Path
from typing import IO
from uuid import uuid4

from federated.files import locked_now
from federated.home import home

_HELD: list[IO[bytes]] = []
"""Locked files of this process; closing one would unlock it."""


def this_process() -> str:
    """The name under which `is_dead` knows this process."""
    return _name_in(_folder())


def is_dead(process: str) -> bool:
    """Whether the process is known to have died without a chance to end its runs.

    False where it lives, where it ended by itself, and where nobody knows: it had another home folder.
    """
    if not re.fullmatch("[0-9a-f]{32}", process):  # it comes from MLflow, where anybody may write
        return False
    try:
        with (_folder() / process).open("rb+") as file:
            return locked_now(file)
    except OSError:
        return False


@cache
def _name_in(folder: Path) -> str:
    name = uuid4().hex
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / name).open("wb")
    if locked_now(file):
        _HELD.append(file)
        atexit.register((folder / name).unlink, missing_ok=True)
    else:  # a file system without locks: nobody will know
        file.close()
        (folder / name).unlink()
    return name


def _folder() -> Path:
    return home() / "processes"
