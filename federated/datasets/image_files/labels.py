"""Labels of image files: from the folders that they lie in, from a pattern of their paths, or from a table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from federated.datasets.csv_files.format import CsvFormat
from federated.datasets.csv_files.read import read_csv
from federated.examples.labelled import LabelColumns
from federated.examples.reading import counted
from federated.foundation.texts import listed, quoted

ROLES = ("target", "client", "test")
_MOST_SHOWN = 3


class LabelTable(NamedTuple):
    """frame: a row for each file, with its labels. written: the same as they are written. names: of the files, below
    the folder. notes: what was odd, in sentences."""

    frame: pd.DataFrame
    written: pd.DataFrame
    names: list[str]
    notes: tuple[str, ...] = ()


def roles_of_layout(layout: str) -> tuple[str, ...]:
    """What each folder of a path says, from the top, as `client/target`. Raises ValueError."""
    roles = tuple(part.strip() for part in layout.strip("/").split("/"))
    if strange := [role for role in roles if role not in (*ROLES, "*")]:
        raise ValueError(f"layout may hold target, client, test and *, got {strange[0]!r} in {layout!r}")
    _check_roles("layout", [role for role in roles if role != "*"], layout)
    return roles


def checked_pattern(pattern: str) -> re.Pattern[str]:
    """A regular expression with groups named after the labels. Raises ValueError."""
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r} is not a regular expression: {error}") from error
    if strange := [name for name in found.groupindex if name not in ROLES]:
        raise ValueError(
            f"pattern may name groups target, client and test, got {strange[0]!r} in {pattern!r}"
        )
    _check_roles("pattern", list(found.groupindex), pattern)
    return found


def _check_roles(field: str, roles: Sequence[str], stated: str) -> None:
    if "target" not in roles:
        form = "(?P<target>...)" if field == "pattern" else "target"
        raise ValueError(f"{field} must say where the target is, as {form}, got {stated!r}")
    if twice := [role for role, times in Counter(roles).items() if times > 1]:
        raise ValueError(f"{field} must name {twice[0]} once, got {stated!r}")


def labels_by_layout(names: Sequence[str], roles: Sequence[str]) -> LabelTable:
    """The names of folders as labels. Raises ValueError for a file that lies too high."""
    folders = [PurePosixPath(name).parent.parts for name in names]
    if high := [name for name, parts in zip(names, folders, strict=True) if len(parts) < len(roles)]:
        raise ValueError(
            f"{counted(len(high), 'file')} of {len(names):,} lie in fewer folders than layout "
            f"{'/'.join(roles)!r} has, the first is {high[0]!r}; move them, or state another layout"
        )
    labels = {role: [parts[at] for parts in folders] for at, role in enumerate(roles) if role != "*"}
    return _table(names, labels)


def labels_by_pattern(names: Sequence[str], pattern: re.Pattern[str]) -> LabelTable:
    """The groups of a pattern as labels. Raises ValueError for a file whose path does not tell."""
    matches = [pattern.search(name) for name in names]
    for role in pattern.groupindex:
        silent = [name for name, found in zip(names, matches, strict=True) if not found or not found[role]]
        if silent:
            raise ValueError(
                f"pattern {pattern.pattern!r} finds no {role} in {counted(len(silent), 'file')} of {len(names):,}, the "
                f"first is {silent[0]!r}; widen it, or narrow `files`"
            )
    labels = {role: [found[role] for found in matches if found] for role in pattern.groupindex}
    return _table(names, labels)


def _table(names: Sequence[str], labels: dict[str, list[str]]) -> LabelTable:
    frame = pd.DataFrame({"file": list(names)} | labels, dtype=object)
    return LabelTable(frame, frame, list(names))


def labels_by_table(
    table: Path, form: CsvFormat, file: str, columns: LabelColumns, folder: Path, names: Sequence[str]
) -> LabelTable:
    """The rows of a CSV file as labels, one for each image. Raises ValueError where it names files that are not there.

    names: of the files in the folder; a table may leave the ending out.
    """
    wanted = [("file", file), *columns.named()]
    as_text = [name for _, name in wanted]
    frame, written, notes = read_csv(table, form, wanted, as_text, inferred=False)
    known = set(names)
    by_stem = Counter(_stem(name) for name in names)
    of_stem = {_stem(name): name for name in names if by_stem[_stem(name)] == 1}
    found: list[str | None] = []
    for text in written[file]:
        stated = "" if text is None else PurePosixPath(str(text).strip()).as_posix()
        found.append(stated if stated in known else of_stem.get(stated))
    absent = [at for at, name in enumerate(found) if name is None]
    if absent:
        shown = listed([quoted(str(written[file].iloc[at])) for at in absent[:_MOST_SHOWN]])
        raise ValueError(
            f"{counted(len(absent), 'file')} of {len(found):,} in {table.name} are not in {folder}: {shown}; "
            f"paths must be relative to that folder, such as {names[0]!r}"
        )
    present = [name for name in found if name is not None]
    if twice := [name for name, times in Counter(present).items() if times > 1]:
        raise ValueError(f"{table.name} names the file {twice[0]!r} more than once; each image has one row")
    rest = len(known - set(present))
    left = (
        (f"{counted(rest, 'image')} of the folder are in no row of {table.name} and are left out",)
        if rest
        else ()
    )
    return LabelTable(frame, written, present, (*notes, *left))


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()
