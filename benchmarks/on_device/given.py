"""What each step is given, and where its answer goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Given(NamedTuple):
    """device: cuda or cpu. quick: as little work as shows that a step runs. data: folder of data sets, or None.
    out: where logs go. limit: seconds that the step has."""

    device: str
    quick: bool
    data: Path | None
    out: Path
    limit: float


Answer = dict[str, Any]
Measure = Callable[[Given], Iterator[Answer]]
"""Yields its whole answer each time that something is added, so that what it has is kept where it is cut off."""


class Skipped(Exception):
    """A step cannot be made here; the message says why."""
