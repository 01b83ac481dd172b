"""A partition as CSV, one line per example, for spreadsheets and other tools."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_partitioners.delimited import SEPARATORS, separator_said, text_of, whole_numbers
from data_partitioners.ids import distinct_ids, tidied
from data_partitioners.partition import Partition


class CsvListing(NamedTuple):
    """examples: int64 [n]. clients: int64 [n], the place of each one's client among `names`."""

    examples: np.ndarray
    clients: np.ndarray
    names: tuple[str, ...]


def write_csv(path: Path, partition: Partition) -> None:
    """Write the columns example, client (a name) and place (the client's, from 0); who holds nothing has no example."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["example", "client", "place"])
        for place, (name, held) in enumerate(zip(partition.names, partition.indices, strict=True)):
            writer.writerows((example, name, place) for example in held.tolist() or [""])


def read_csv(path: Path) -> CsvListing:
    """Read what was written here, by another tool or by a spreadsheet. Raises ValueError that names line and value.

    Columns in any order, others beside them. Without a `place` clients are in the order of `distinct_ids`.
    """
    try:
        rows, lines, columns = _rows(text_of(path))
        places = _whole("place", rows, lines, columns)
        has_example = _has_example(rows, columns, places is not None)
        kept = [row for row, there in zip(rows, has_example, strict=True) if there]
        examples = _whole("example", kept, lines[has_example], columns)
        clients = _clients(rows, lines, columns, with_places=places is not None)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"partitioner: from_file: {path}: {error.args[0]}") from error
    assert examples is not None
    if places is None:
        names, codes = distinct_ids(clients)
        return CsvListing(examples, codes[has_example], tuple(map(str, names)))
    try:
        ordered, codes = _placed(clients, places)
    except ValueError as error:
        raise ValueError(f"partitioner: from_file: {path}: {error}") from error
    return CsvListing(examples, codes[has_example], ordered)


def _rows(text: str) -> tuple[list[list[str]], np.ndarray, dict[str, int]]:
    """(the rows below the header, the line of each, int64 [n]; where the columns are). Empty rows are left out."""
    first, _, rest = text.partition("\n")
    told = separator_said(first)
    skipped, text = (1, rest) if told else (0, text)
    header = text.partition("\n")[0]
    separators = [told] if told else list(SEPARATORS)
    separator = max(separators, key=lambda mark: len({"example", "client"} & set(_header(header, mark))))
    names = _header(header, separator)
    if missing := [name for name in ("example", "client") if name not in names]:
        raise ValueError(f"it has no column {missing[0]!r}; its first line must be example,client")
    if twice := [name for name in ("example", "client", "place") if names.count(name) > 1]:
        raise ValueError(f"the column {twice[0]!r} is there more than once")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    found = [(reader.line_num + skipped, row) for row in reader]
    filled = [(line, row) for line, row in found[1:] if any(cell.strip() for cell in row)]
    return [row for _, row in filled], np.array([line for line, _ in filled], np.int64), _places_of(names)


def _places_of(names: list[str]) -> dict[str, int]:
    return {name: names.index(name) for name in ("example", "client", "place") if name in names}


def _header(line: str, separator: str) -> list[str]:
    cells = next(csv.reader([line.strip("\r\n")], delimiter=separator), [])
    return [cell.strip().lower() for cell in cells]


def _cell(row: list[str], at: int) -> str:
    return row[at] if at < len(row) else ""


def _has_example(rows: list[list[str]], columns: dict[str, int], with_places: bool) -> np.ndarray:
    """A mask of the rows with an example, bool [n]; other rows are clients without examples, if they have a place."""
    return np.array([not with_places or _cell(row, columns["example"]).strip() != "" for row in rows], bool)


def _whole(name: str, rows: list[list[str]], lines: np.ndarray, columns: dict[str, int]) -> np.ndarray | None:
    if name not in columns:
        return None
    try:
        return whole_numbers([_cell(row, columns[name]) for row in rows])
    except ValueError as error:
        text, at = error.args
        raise ValueError(f"line {lines[at]}: {name} must be a whole number: {text}") from error


def _clients(
    rows: list[list[str]], lines: np.ndarray, columns: dict[str, int], *, with_places: bool
) -> np.ndarray:
    """The name of the client of each row. Where nothing tells that they are ours, they are tidied as ids are."""
    texts = [_cell(row, columns["client"]) for row in rows]
    if with_places:
        return np.array(texts, object)
    texts = [tidied(text) for text in texts]
    if "" in texts:
        raise ValueError(f"line {lines[texts.index('')]} has no client")
    if any("." in text or "," in text for text in texts):  # numbers as a spreadsheet shows them: 1.0, 1,234
        try:
            return whole_numbers(texts).astype(str)
        except ValueError:
            pass  # names with a dot
    return np.array(texts)


def _placed(clients: np.ndarray, places: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """(names in the order of their places, the place of each row's client, int64 [n])."""
    name_of: dict[int, Any] = {}
    for place, name in zip(places.tolist(), clients.tolist(), strict=True):
        if name_of.setdefault(place, name) != name:
            raise ValueError(f"place {place} is of two clients, {name_of[place]!r} and {name!r}")
    if sorted(name_of) != list(range(len(name_of))):
        raise ValueError(f"places must be 0 ... {len(name_of) - 1} without gaps")
    return tuple(name_of[place] for place in range(len(name_of))), places
