"""The names of a CSV file's columns: from its header, from the study file, or a sentence on what is wrong with them."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from data_partitioners.delimited import SEPARATORS
from federated.datasets.csv_files.format import CsvFormat
from federated.examples.reading import counted
from federated.examples.tables.number_like import number_like
from federated.foundation.texts import listed, meant

_MOST_SHOWN = 8


class Header(NamedTuple):
    """names: of the columns. given: whether they replace what the file says. skipped: lines that pandas must not see.
    skipped_to_rows: lines above the first row."""

    names: list[str]
    given: bool
    skipped: int
    skipped_to_rows: int


def check_header(
    where: str, lines: Sequence[tuple[int, list[str]]], form: CsvFormat, wanted: Sequence[tuple[str, str]]
) -> Header:
    """Check the position of the header and the names in it.

    lines: (number, cells) from the header on, or the first rows where there is none; empty ones are left out.

    wanted: (role, name) of the columns that must be there. Raises ValueError where pandas would rename a repeated
    column, read the first one as names of rows, or take the first row for a header.
    """
    line, records = form.header_line, [cells for _, cells in lines]
    if not records:
        raise ValueError(f"there is no line {line} with names of columns; the file is shorter")
    if line == 0:
        return _without_header(where, records, form, wanted)
    # A column without a name has the one that pandas gives it.
    names, rows = [name or f"Unnamed: {at}" for at, name in enumerate(records[0])], records[1:]
    if form.names is not None:
        _check_count(form.names, len(rows[0]) if rows else len(names), "row 1")
        names = list(form.names)
    if repeated := [name for name, times in Counter(names).items() if times > 1]:
        raise ValueError(
            f"the column {repeated[0]!r} is there more than once; give every column a name of its own"
            + _no_header(names, rows)
        )
    _check_wanted(where, names, rows, form, wanted, _further_down(lines, wanted))
    if rows and len(rows[0]) > len(names):
        cure = "name the first column if it holds names or numbers of rows, and put texts that hold the separator in"
        ends = "take the separators at the ends of lines away"
        said = f"{cure} quotation marks" if rows[0][-1].strip() else ends
        raise ValueError(f"row 1 has {counted(len(rows[0]), 'field')}, the header {len(names)}; {said}")
    given = form.names is not None
    return Header(names, given, line if given else line - 1, line)


def _without_header(
    where: str, records: Sequence[list[str]], form: CsvFormat, wanted: Sequence[tuple[str, str]]
) -> Header:
    first = records[0]
    names = [str(at + 1) for at in range(len(first))] if form.names is None else list(form.names)
    _check_count(names, len(first), "row 1")
    if [cell.strip().casefold() for cell in first] == [name.strip().casefold() for name in names]:
        raise ValueError(
            "the first line holds the names of the columns; leave `names` out or state `header: 1`"
        )
    _check_wanted(where, names, records[1:], form, wanted)
    return Header(names, True, 0, 0)


def _check_count(names: Sequence[str], fields: int, where: str) -> None:
    if len(names) != fields:
        raise ValueError(
            f"`names` has {counted(len(names), 'name')}, but {where} has {counted(fields, 'field')}"
        )


def _check_wanted(
    where: str,
    names: Sequence[str],
    rows: Sequence[list[str]],
    form: CsvFormat,
    wanted: Sequence[tuple[str, str]],
    further_down: str = "",
) -> None:
    absent = [(role, name) for role, name in wanted if name not in names]
    if not absent:
        return
    name = absent[0][1]
    shown = ", ".join(names[:_MOST_SHOWN]) + (
        f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    )
    read_wrongly = further_down or _other_separator(names, form, name)
    near = "" if read_wrongly else "".join(meant(wanted, names) for _, wanted in absent)
    one = "; is the separator right?" if len(names) == 1 else ""
    hint = read_wrongly or ("" if near else _no_header(names, rows) or one)
    columns = listed([f"the {role} column {name!r}" for role, name in absent])
    are = "is" if len(absent) == 1 else "are"
    raise ValueError(f"{columns} {are} not in {where}; {near}its columns are: {shown}{hint}")


def _further_down(lines: Sequence[tuple[int, list[str]]], wanted: Sequence[tuple[str, str]]) -> str:
    """A hint where a line below the first holds the names, as below a title."""
    names = {name for _, name in wanted}
    found = [number for number, cells in lines[1:] if names <= set(cells)]
    return f"; line {found[0]} has them: state `header: {found[0]}`" if found else ""


def _other_separator(names: Sequence[str], form: CsvFormat, wanted: str) -> str:
    line = form.separator.join(names)
    for mark in SEPARATORS:
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=mark), [])]
        if mark != form.separator and wanted in cells:
            shown = '"\\t"' if mark == "\t" else f'"{mark}"'
            return f"; is the separator right? State `separator: {shown}`"
    return ""


def _no_header(names: Sequence[str], rows: Sequence[list[str]]) -> str:
    """A hint where the header looks like a row: a number in it, or what the same column holds below."""
    below = [{row[at] for row in rows if at < len(row)} for at in range(len(names))]
    looks = [
        name
        for name, values in zip(names, below, strict=True)
        if name and (number_like(name) is not None or name in values)
    ]
    if not looks:
        return ""
    return (
        f"; if the file has no header ({looks[0]!r} looks like a value), state `names: [...]`, one a column"
    )
