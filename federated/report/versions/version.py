"""Version: one of the studies of one name, with the time and the code that it ran at."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

_DIGITS = 9
"""Of a commit, as git shortens those of large repositories."""


class Version(NamedTuple):
    """A study among others of its name.

    label: as it was asked for, `NAME` or `NAME@WHICH`. commit: of fedstudy; "" where none was recorded. dirty: whether
    the working tree had changes that no commit has. environment: versions of packages and the machine, by name. tuned:
    whether its arms chose values before they ran.
    """

    label: str
    started: datetime
    commit: str
    dirty: bool
    environment: Mapping[str, str]
    tuned: bool = False

    @property
    def when(self) -> str:
        """`2026-11-28 14:02`, in the time zone of `started`."""
        return when(self.started)

    @property
    def code(self) -> str:
        """`abc123def`, with `+` where there were uncommitted changes; a dash without a commit."""
        return f"{short(self.commit)}{'+' if self.dirty else ''}" if self.commit else "–"

    @property
    def said(self) -> str:
        """`commit abc123def with uncommitted changes, 2026-11-28 14:02`."""
        if not self.commit:
            return f"no commit recorded, {self.when}"
        return f"commit {short(self.commit)}{' with uncommitted changes' if self.dirty else ''}, {self.when}"


def when(moment: datetime) -> str:
    """`2026-11-28 14:02`."""
    return f"{moment:%Y-%m-%d %H:%M}"


def short(commit: str) -> str:
    """The beginning of a commit, by which it is told from others."""
    return commit[:_DIGITS]
