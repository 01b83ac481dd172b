"""A CSV file as a table: values as pandas reads them, ids and labels also as they are written."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from federated.datasets.csv_files.check import checked_encoding
from federated.datasets.csv_files.digits import suspicions_of_digits
from federated.datasets.csv_files.format import CsvFormat
from federated.datasets.csv_files.groups import without_groups
from federated.datasets.csv_files.header import Header, check_header
from federated.datasets.csv_files.size import check_size
from federated.examples.reading import said

_LONGEST_FIELD = 2**31 - 1
"""Texts may be books; Python's own limit is 131,072 characters."""


class CsvTable(NamedTuple):
    """frame: every column as pandas reads it.

    written: some columns as text, spaces and zeros included, None where it is missing.
    notes: what was odd, in sentences."""

    frame: pd.DataFrame
    written: pd.DataFrame
    notes: tuple[str, ...]


def read_csv(
    path: Path,
    form: CsvFormat,
    wanted: Sequence[tuple[str, str]],
    as_text: Sequence[str],
    inferred: bool = True,
    left_out: Collection[str] = (),
) -> CsvTable:
    """Read a CSV file. Raises ValueError in one sentence that says what to do.

    wanted: (role, name) of the columns that must be there. as_text: those of `written`.
    inferred: columns that are not wanted are features too. left_out: columns that are not read.
    """
    encoding, found, options = _checked(path, form, wanted)
    try:
        # low_memory: in chunks, pandas would infer a dtype for each and mix them.
        kept: dict[str, Any] = {"usecols": lambda name: name not in left_out} if left_out else {}
        check_size(path, encoding, options | kept, form.decimal, as_text)
        frame = pd.read_csv(path, low_memory=False, decimal=form.decimal, **options, **kept)
        columns = [name for name in dict.fromkeys(as_text) if name in frame.columns]
        written = pd.read_csv(path, usecols=columns, dtype=object, keep_default_na=False, **options)
    except pd.errors.ParserError as error:
        raise ValueError(_in_our_words(str(error), form)) from error
    notes: list[str] = []
    if form.thousands is not None:
        frame, doubts = without_groups(frame, form, {name: role for role, name in wanted})
        notes += said(doubts)
    written = written.astype(object).where(written.notna(), None)
    width, cut = frame.shape[1], len(frame) > 0 and bool(frame.iloc[:, -1].isna().any())
    if left_out:  # pandas says nothing of rows that are too long, either, where it reads some columns only
        width, cut = len(found.names), True
    notes += list(_odd_rows(path, form, encoding, width, found.skipped_to_rows)) if cut else []
    if inferred:
        read = partial(pd.read_csv, path, dtype=object, keep_default_na=False, **options)
        opened = partial(_opened, path, encoding)
        notes += said(suspicions_of_digits(read, opened, frame, form, {name for _, name in wanted}))
    return CsvTable(frame, written, tuple(notes))


def blocks_of_columns(
    path: Path, form: CsvFormat, wanted: Sequence[tuple[str, str]], columns: Sequence[str], rows: int
) -> Iterator[pd.DataFrame]:
    """Some columns as they are written, so many rows at a time. Raises ValueError as `read_csv` does."""
    _, _, options = _checked(path, form, wanted)
    stated: dict[str, Any] = {
        "usecols": list(columns),
        "dtype": object,
        "keep_default_na": False,
        "chunksize": rows,
    }
    try:
        with pd.read_csv(path, **options, **stated) as reader:
            yield from reader
    except pd.errors.ParserError as error:
        raise ValueError(_in_our_words(str(error), form)) from error


def _checked(
    path: Path, form: CsvFormat, wanted: Sequence[tuple[str, str]]
) -> tuple[str, Header, dict[str, Any]]:
    """(encoding, header, options with which pandas reads the file)."""
    encoding = checked_encoding(path, form.encoding, form.header_line)
    with _records(path, form, encoding) as records:
        found = check_header(path.name, list(_first(records, form.header_line)), form, wanted)
    options: dict[str, Any] = {"sep": form.separator, "skipinitialspace": True, "encoding": encoding}
    options |= {"skiprows": found.skipped, "header": None, "names": found.names} if found.given else {}
    if not found.given and found.skipped:
        options["skiprows"] = found.skipped
    if form.missing_values:
        options["na_values"] = list(form.missing_values)
    return encoding, found, options


@contextmanager
def _opened(path: Path, encoding: str) -> Iterator[Any]:
    """The file as text, unpacked."""
    from pandas.io.common import get_handle

    with get_handle(path, "r", encoding=encoding, compression="infer") as opened:
        yield opened.handle


@contextmanager
def _records(path: Path, form: CsvFormat, encoding: str) -> Iterator[Any]:
    """The lines of the file as lists of cells, one after another, by Python's own reader."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        with _opened(path, encoding) as file:
            yield csv.reader(file, delimiter=form.separator, skipinitialspace=True)
    except csv.Error as error:
        raise ValueError(str(error)) from error
    finally:
        csv.field_size_limit(before)


def _first(records: Any, header_line: int) -> Iterator[tuple[int, list[str]]]:
    """(number, cells) of the line with the names, if there is one, and of the first rows below it."""
    try:
        for _ in range(header_line - 1):
            next(records)
        kept = 0
        while kept < 6:
            record = next(records)
            if record:
                kept += 1
                yield records.line_num, record
    except StopIteration:
        return


def _in_our_words(said: str, form: CsvFormat) -> str:
    if ragged := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", said):
        return _too_long(ragged[2], ragged[3], ragged[1], form)
    if unclosed := re.search(r"EOF inside string starting at row (\d+)", said):
        line = int(unclosed[1]) + 1
        return f"a quotation mark that opens in or after line {line} is never closed; close or double it"
    return said


def _odd_rows(path: Path, form: CsvFormat, encoding: str, width: int, above: int) -> Iterator[str]:
    """A sentence where rows lack fields at their end, which pandas fills without a word.

    width: the number of columns. above: lines above the first row. Raises ValueError where a row has more fields.
    """
    short, first = 0, (0, 0)
    with _records(path, form, encoding) as records:
        for record in records:
            if record and records.line_num > above and len(record) != width:
                if len(record) > width:
                    raise ValueError(_too_long(records.line_num, len(record), width, form))
                first, short = first if short else (records.line_num, len(record)), short + 1
    if short:
        line, size = first
        yield (
            f"{path.name}: {short:,} rows have fewer fields than the {width} columns, the first, in line {line}, has "
            f"{size}; what they lack is read as missing (is the file cut off?)"
        )


def _too_long(line: int | str, fields: int | str, before: int | str, form: CsvFormat) -> str:
    return (
        f"line {line} has {fields} fields, those before have {before}; put texts that hold the separator "
        f"{form.separator!r} in quotation marks, or state another `separator`"
    )
