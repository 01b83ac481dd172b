"""A table file as the data set `table` must read it: separator, encoding, header and marks of numbers, from a look."""

from __future__ import annotations

import csv
import lzma
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_partitioners.delimited import SEPARATORS, separator_said
from federated.datasets.csv_files.check import checked_encoding
from federated.datasets.csv_files.format import CsvFormat
from federated.datasets.csv_files.read import read_csv
from federated.datasets.parquet.columns import parquet_table
from federated.datasets.text_files.blocks import other_columns
from federated.examples.tables.mostly_numbers import mostly_numbers
from federated.examples.tables.number_like import number_like
from federated.foundation.errors import BadInput

_LINES = 200
_MOST_WORDS = 5
"""More different texts among numbers than this are no codes of missing values."""
_FALLBACK = "cp1252"
PARQUET = (".parquet", ".pq")
JSON_LINES = {".jsonl", ".ndjson"}


@dataclass(frozen=True)
class TableFile:
    """frame: the table. options: the arguments of `table` that differ from their defaults, without columns."""

    frame: pd.DataFrame
    options: Mapping[str, Any]


def table_file(path: Path) -> TableFile:
    """Read a CSV, JSON lines or Parquet file, or a folder of Parquet files. Raises BadInput where it is none."""
    try:
        if path.is_dir() or path.suffix.lower() in PARQUET:
            return TableFile(parquet_table(path, ()), {})
        if JSON_LINES & {suffix.lower() for suffix in path.suffixes[-2:]}:
            return TableFile(other_columns(path, CsvFormat(), (), (), ()).frame, {})
        form = _format(path)
        frame = read_csv(path, form, [], []).frame
        form, frame = _with_marks(path, form, frame)
    except (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
    return TableFile(frame, _stated(form))


def _stated(form: CsvFormat) -> dict[str, Any]:
    stated = {name: value for name, value in asdict(form).items() if name in form.stated()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in stated.items()}


def _format(path: Path) -> CsvFormat:
    encoding = _encoding(path)
    lines = list(_first_lines(path, encoding or "utf-8-sig"))
    if not any(line.strip() for line in lines):
        raise ValueError("it is empty")
    told = separator_said(lines[0])
    rows = lines[1:] if told else lines
    separator = told or _separator(rows)
    cells = list(csv.reader(rows, delimiter=separator, skipinitialspace=True))
    header = 0 if _is_row(cells) else 2 if told else None
    return CsvFormat(separator=separator, encoding=encoding, header=header)


def _encoding(path: Path) -> str | None:
    """None where it needs no statement. Raises ValueError where it is no text."""
    try:
        checked_encoding(path, None, 0)
    except ValueError as error:
        if "is not UTF-8" not in str(error):
            raise
        try:
            checked_encoding(path, _FALLBACK, 0)
        except ValueError:  # nobody stated that one
            raise error from None
        return _FALLBACK
    return None


def _first_lines(path: Path, encoding: str) -> Iterator[str]:
    from pandas.io.common import get_handle

    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    with get_handle(path, "rb", compression="infer", is_text=False) as opened:
        head = opened.handle.read(2)
    if head in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    with get_handle(path, "r", encoding=encoding, compression="infer") as opened:
        yield from islice(opened.handle, _LINES)


def _separator(lines: list[str]) -> str:
    """The mark that splits the most lines into the same number of cells, and of those the one that makes most cells."""
    counted = {mark: _widths(lines, mark) for mark in SEPARATORS}
    usual = {mark: widths.most_common(1)[0] for mark, widths in counted.items()}
    splitting = {mark: (times, width) for mark, (width, times) in usual.items() if width > 1}
    return max(splitting, key=splitting.__getitem__) if splitting else ","


def _widths(lines: list[str], mark: str) -> Counter[int]:
    rows = csv.reader(lines, delimiter=mark, skipinitialspace=True)
    return Counter(len(row) for row in rows if row)


def _is_row(cells: list[list[str]]) -> bool:
    """Whether the first line holds values: a number where the column has numbers, and no name of a column."""
    if len(cells) < 2:
        return False
    first = cells[0]
    below = [{row[at] for row in cells[1:] if at < len(row)} for at in range(len(first))]
    numbers = [number_like(cell) is not None for cell in first]
    repeats = sum(cell in seen for cell, seen in zip(first, below, strict=True))
    return any(numbers) and (repeats > 0 or all(numbers))


def _with_marks(path: Path, form: CsvFormat, frame: pd.DataFrame) -> tuple[CsvFormat, pd.DataFrame]:
    """The same with decimal commas and words for missing values stated, where columns of text are mostly numbers."""
    styles, words = _odd_numbers(frame, form)
    changes: dict[str, Any] = {}
    if "decimal comma" in styles and "decimal point" not in styles:
        changes["decimal"] = ","
    if words:
        changes["missing_values"] = tuple(sorted(words))
    if not changes:
        return form, frame
    stated = replace(form, **changes)
    return stated, read_csv(path, stated, [], []).frame


def _odd_numbers(frame: pd.DataFrame, form: CsvFormat) -> tuple[set[str], set[str]]:
    """(styles of numbers, words between numbers) of all columns of text that are mostly numbers."""
    styles, words = set[str](), set[str]()
    for _, column in frame.select_dtypes(exclude="number").items():
        codes, values = pd.factorize(column)
        texts = list(map(str, values))
        counts = np.bincount(codes[codes >= 0], minlength=len(texts))
        found = mostly_numbers(texts, counts, form.marks) if texts else None
        if found is None:
            continue
        styles |= found.styles()
        no_numbers = [text for text in found.strange if found.found[text] is None]
        words |= set(no_numbers) if len(no_numbers) <= _MOST_WORDS else set()
    return styles, words
