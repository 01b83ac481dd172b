"""A claim of the whole machine for a meter of its energy: it holds if no other meter ran at any time meanwhile.

Meters of all processes share a file in the system's folder of temporary files: each holds a lock on it as long as it
runs and adds a byte when it begins, so that those which began later are seen even when they have ended.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir


class OneMeter:
    """Made when a meter begins."""

    def __init__(self, folder: Path | None = None) -> None:
        path = (folder or Path(gettempdir())) / "fedstudy-energy.lock"
        self._alone, self._size = False, 0
        try:
            self._file = path.open("ab", buffering=0)
        except OSError:  # another user's: then this one cannot tell who else measures
            return
        with suppress(OSError):  # a file system without locks: then it cannot tell either
            self._begin()

    def _begin(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.truncate(0)  # which nobody else looks at
            self._alone = True
        except OSError:
            fcntl.flock(self._file, fcntl.LOCK_SH)  # for which one waits no longer than another begins
        self._file.write(b".")
        self._size = os.fstat(self._file.fileno()).st_size
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def was_alone(self) -> bool:
        """Whether no other has run until now. The claim ends, so that further calls say the same of this time."""
        if self._size and not self._file.closed:
            self._alone &= os.fstat(self._file.fileno()).st_size == self._size
            self._file.close()
        return self._alone and self._size > 0  # without a byte of its own nobody would know of this one
