"""Rows of a file, a block at a time: the texts, and every other column."""

from __future__ import annotations

import json
import lzma
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from federated.datasets.csv_files.format import CsvFormat
from federated.datasets.csv_files.read import blocks_of_columns, read_csv
from federated.examples.reading import named
from federated.foundation.texts import listed, meant, quoted

ROWS = 10_000
"""Rows that are in memory at a time."""

Wanted = Sequence[tuple[str, str]]
"""(role, name) of the columns that must be there."""

UNREADABLE = (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading a damaged file may raise."""

_LINES = (".jsonl", ".ndjson", ".json")
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")


class Others(NamedTuple):
    """frame: every column but the texts. written: the target and client columns as a CSV file writes them.
    notes: what was odd, in sentences."""

    frame: pd.DataFrame
    written: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()


def format_of(path: Path) -> Literal["csv", "jsonl", "parquet"]:
    """The format that a file's name says."""
    endings = [each.lower() for each in path.suffixes if each.lower() not in _PACKED]
    last = endings[-1] if endings else ""
    return "parquet" if last in (".parquet", ".pq") else "jsonl" if last in _LINES else "csv"


def text_blocks(
    path: Path, form: CsvFormat, wanted: Wanted, columns: Sequence[str]
) -> Iterator[pd.DataFrame]:
    """The columns of texts, `ROWS` rows at a time; what is missing is None or NaN. Raises one of `UNREADABLE`."""
    if format_of(path) == "csv":
        yield from blocks_of_columns(path, form, wanted, columns, ROWS)
        return
    if format_of(path) == "parquet":
        _check_columns(_schema(path), wanted)
        frames = _parquet(path, columns)
    else:
        frames = _with_columns(_json_lines(path, form), wanted)
    for first, frame in zip(_numbers(), frames, strict=False):
        for name in columns:
            _check_texts(frame[name], first)
        yield frame[list(columns)]


def other_columns(
    path: Path, form: CsvFormat, wanted: Wanted, columns: Sequence[str], as_text: Sequence[str]
) -> Others:
    """All columns but the texts. as_text: those of `written`. Raises one of `UNREADABLE`."""
    if format_of(path) == "csv":
        return Others(*read_csv(path, form, wanted, as_text, inferred=False, left_out=columns))
    if format_of(path) == "parquet":
        names = [name for name in _schema(path) if name not in columns]
        return Others(pd.read_parquet(path, columns=names))
    frames = [frame.drop(columns=list(columns), errors="ignore") for frame in _json_lines(path, form)]
    if not frames:
        raise ValueError("it is empty")
    return Others(pd.concat(frames, ignore_index=True))


def _numbers() -> Iterator[int]:
    """The number of rows before each block."""
    at = 0
    while True:
        yield at
        at += ROWS


def _check_columns(there: Sequence[str], wanted: Wanted) -> None:
    if absent := [named(name, f"{role} ") for role, name in wanted if name not in there]:
        are = "is" if len(absent) == 1 else "are"
        near = "".join(meant(name, map(str, there)) for _, name in wanted if name not in there)
        raise ValueError(
            f"{listed(absent)} {are} not in it; {near}its columns are: {listed(list(map(str, there)))}"
        )


def _with_columns(frames: Iterator[pd.DataFrame], wanted: Wanted) -> Iterator[pd.DataFrame]:
    """Blocks that have each wanted column: the first block must, later ones may lack it in every row."""
    for number, frame in enumerate(frames):
        if number == 0:
            _check_columns(list(frame.columns), wanted)
        yield frame.reindex(columns=list(dict.fromkeys([*frame.columns, *(name for _, name in wanted)])))


def _check_texts(column: pd.Series[Any], before: int) -> None:
    """Raise ValueError where a text is a number, a list or another thing."""
    for row, value in enumerate(column.tolist(), before + 1):
        if not isinstance(value, str) and not _is_missing(value):
            raise ValueError(
                f"{named(column.name, 'text ')} holds {type(value).__name__} values, the first is {quoted(str(value))} "
                f"in row {row}; texts are needed"
            )


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _schema(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    return list(pq.ParquetFile(path).schema_arrow.names)


def _parquet(path: Path, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(ROWS, columns=list(columns)):
        yield batch.to_pandas().astype(object)


def _json_lines(path: Path, form: CsvFormat) -> Iterator[pd.DataFrame]:
    """Each line one object; what an object lacks is missing."""
    from pandas.io.common import get_handle

    rows: list[dict[str, Any]] = []
    with get_handle(path, "r", encoding=form.encoding or "utf-8-sig", compression="infer") as opened:
        for number, line in enumerate(_lines(opened.handle), 1):
            if line.strip():
                rows.append(_object(line, number))
            if len(rows) == ROWS:
                yield pd.DataFrame(rows)
                rows = []
    if rows:
        yield pd.DataFrame(rows)


def _lines(handle: Any) -> Iterator[str]:
    try:
        yield from handle
    except UnicodeError as error:
        raise ValueError(f"it is not UTF-8: {error}; state its `encoding`, such as cp1252") from error


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        whole = number == 1 and line.lstrip()[:1] in ("[", "{")
        cure = (
            "; each line must be an object of its own, as pandas' to_json(orient='records', lines=True) writes them"
            if whole
            else " (is the file cut off?)"
        )
        raise ValueError(f"line {number} is not JSON: {error}{cure}") from error
    if not isinstance(found, dict):
        raise ValueError(
            f"line {number} is a {type(found).__name__}, not an object such as "
            '{"text": "...", "label": "..."}; each line must be one'
        )
    return found
