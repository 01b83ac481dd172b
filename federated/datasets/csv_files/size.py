"""The memory that a CSV file takes, from its first rows, before it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from federated.machine.large_arrays import check_memory
from federated.machine.memory import machine_mb

_MOST_TIMES = 60
"""A cell of two characters may become a text of Python's own, of 50 bytes and a place in an array, twice."""
_MOST_PACKED = 20
"""Texts are seldom packed to less than a twentieth."""
_ROWS = 2000
_BLOCK = 2**20
_INSTEAD = (
    "write it as Parquet once, some rows at a time (docs/cannot.md), whose numbers are mapped from disk"
)


def check_size(
    path: Path, encoding: str, options: Mapping[str, Any], decimal: str, as_text: Sequence[str]
) -> None:
    """Raise BadInput where the table would not fit in the machine's memory; small files are not looked at.

    options: with which pandas reads the file. as_text: columns that are kept as they are written, too.
    """
    packed = path.suffix.lower() in (".gz", ".bz2", ".xz", ".zst", ".zip")
    if path.stat().st_size * _MOST_TIMES * (_MOST_PACKED if packed else 1) <= machine_mb() * 1e6:
        return
    first = pd.read_csv(path, nrows=_ROWS, low_memory=False, decimal=decimal, **options)
    columns = [name for name in dict.fromkeys(as_text) if name in first.columns]
    of_rows = int(first.memory_usage(index=False, deep=True).sum())
    of_rows += int(first[columns].astype(str).astype(object).memory_usage(index=False, deep=True).sum())
    written, every = _bytes_of(path, len(first) + _breaks_within(first), packed)
    check_memory(f"{path.name}, which is read whole,", of_rows * every / max(written, 1), _INSTEAD)


def _breaks_within(rows: pd.DataFrame) -> int:
    """The line breaks within cells, which are no ends of rows."""
    texts = rows.select_dtypes(include=["object", "string"])
    return sum(int(texts[name].astype(str).str.count("\n").sum()) for name in texts)


def _bytes_of(path: Path, first: int, packed: bool) -> tuple[int, int]:
    """(bytes of about so many first lines, those of the whole file), unpacked."""
    from pandas.io.common import get_handle

    written = lines = every = 0
    with get_handle(path, "rb", is_text=False, compression="infer") as opened:
        while block := opened.handle.read(_BLOCK):
            every += len(block)
            if lines < first:
                written, lines = every, lines + block.count(b"\n")
            elif not packed:
                return _up_to(written, lines, first), path.stat().st_size
    return _up_to(written, lines, first), every


def _up_to(written: int, lines: int, first: int) -> int:
    """The part of these bytes that so many of these lines have."""
    return written * min(first, lines) // max(lines, 1) if lines > first else written
