"""Locks on files, which the system takes from whoever dies."""

from __future__ import annotations

import fcntl
from typing import IO


def locked_now(file: IO[bytes]) -> bool:
    """Lock an open file for this process until it is closed.

    False where another one has it, or the file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
