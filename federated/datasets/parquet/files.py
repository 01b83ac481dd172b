"""The Parquet files that are one table: a single one, or all of a folder, as programs for large tables write them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pandas as pd

from federated.machine.files import files_below

SUFFIXES = (".parquet", ".pq")
_ROWS = 2**17
_NOTHING = "__HIVE_DEFAULT_PARTITION__"
_OF_ROWS = re.compile(r"__index_level_[0-9]+__")
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")


def files_in(path: Path) -> list[Path]:
    """The file, or the Parquet files of a folder and the folders in it, by name; not those hidden, nor `_metadata`."""
    if not path.is_dir():
        return [path]
    found = [path / below for below in files_below(path) if Path(below).suffix.lower() in SUFFIXES]
    return sorted(each for each in found if not any(map(_is_hidden, each.relative_to(path).parts)))


def is_folder_of_rows(path: Path) -> bool:
    """Whether it is a folder with Parquet files. Raises OSError where one below it may not be read."""
    return path.is_dir() and len(files_in(path)) > 0


def _is_hidden(part: str) -> bool:
    return part[0] == "." or (part[0] == "_" and "=" not in part)


@dataclass(frozen=True)
class ParquetFiles:
    """One table: rows file after file.

    names: of the files, within their folder. schema: the columns with types that hold the values of every file. index:
    columns that pandas kept as the index. by_folder: for each file what the names of its folders say, as `site=north`:
    a column each.
    """

    files: tuple[Any, ...]
    paths: tuple[Path, ...]
    names: tuple[str, ...]
    schema: Any
    index: tuple[str, ...]
    by_folder: tuple[dict[str, Any], ...]

    @property
    def num_rows(self) -> int:
        """The rows of all files together."""
        return sum(file.num_rows for file in self.files)

    def batches(self, column: str) -> Iterator[Any]:
        """One column, some rows at a time, as arrays of its type. Raises ValueError that names a damaged file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        wanted = self.schema.field(column).type
        every = zip(self.paths, self.files, self.names, self.by_folder, strict=True)
        for path, read, name, said in every:
            if column not in read.schema.names:
                yield pa.repeat(pa.scalar(said[column], wanted), read.num_rows)
                continue
            try:
                with pq.ParquetFile(
                    path
                ) as file:  # one at a time: a process may have a thousand open, or fewer
                    for batch in file.iter_batches(_ROWS, columns=[column]):
                        found = batch.column(0)
                        yield found if len(self.files) == 1 else _as(found, wanted)
            except (OSError, ValueError) as error:
                raise ValueError(f"{name}: the column {column!r} cannot be read: {error}") from error

    def frame(self, columns: Sequence[str]) -> pd.DataFrame:
        """These columns in memory."""
        import pyarrow as pa

        arrays = {
            name: pa.chunked_array(self.batches(name), self.schema.field(name).type) for name in columns
        }
        table: pd.DataFrame = pa.table(arrays).to_pandas()
        return table


def parquet_files(path: Path) -> ParquetFiles:
    """The table of a file or a folder. Raises ValueError, which names a damaged file."""
    _check_plain(path)
    paths = files_in(path)
    names = [str(each.relative_to(path)) if path.is_dir() else each.name for each in paths]
    files = [_opened(each, name) for each, name in zip(paths, names, strict=True)]
    by_folder = _said_by_folders(names)
    schema = _schema_of([each.schema for each in files], names)
    index = (files[0].schema.pandas_metadata or {}).get("index_columns", [])
    return ParquetFiles(
        tuple(files),
        tuple(paths),
        tuple(names),
        _with_folders(schema, by_folder),
        tuple(name for name in index if isinstance(name, str)),
        by_folder,
    )


_KEPT_BY = {"_delta_log": "Delta", ".hoodie": "Hudi", "metadata/*.metadata.json": "Iceberg"}
"""What lies beside the files of a table whose rows were deleted or rewritten, and are still in older files."""


def _check_plain(path: Path) -> None:
    for pattern, kind in _KEPT_BY.items():
        if path.is_dir() and next(path.glob(pattern), None) is not None:
            raise ValueError(
                f"{path.name} is a table of {kind}, whose files hold deleted rows too; write its rows as plain Parquet"
            )


class _Read(NamedTuple):
    """What the end of a file says."""

    schema: Any
    num_rows: int


def _opened(path: Path, name: str) -> _Read:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return _Read(file.schema_arrow, file.metadata.num_rows)
    except (OSError, ValueError) as error:
        raise ValueError(f"{name} is not a Parquet file, or is damaged or cut off: {error}") from error


def _schema_of(schemas: Sequence[Any], names: Sequence[str]) -> Any:
    """The columns of the first file with types that hold those of all. Raises ValueError where they are not alike."""
    if len(schemas) == 1:
        return schemas[0]
    found = _plain(schemas[0])
    for schema, name in zip(map(_plain, schemas[1:]), names[1:], strict=True):
        _check_columns(found.names, schema.names, names[0], name)
        for at, column in enumerate(found):
            found = found.set(at, _field_of_both(column, schema.field(column.name), names[0], name))
    return found


def _check_columns(first: Sequence[str], other: Sequence[str], first_name: str, other_name: str) -> None:
    lacking = [column for column in first if column not in other]
    further = [column for column in other if column not in first]
    if lacking or further:
        without, has = (other_name, first_name) if lacking else (first_name, other_name)
        raise ValueError(
            f"{without} has no column {(lacking or further)[0]!r}, and {has} has one; all files of a folder must have "
            "the same columns"
        )


def _field_of_both(one: Any, other: Any, first_name: str, other_name: str) -> Any:
    """The column with a type for the values of both: whole numbers beside floats are floats, only gaps are anything."""
    import pyarrow as pa

    try:
        return pa.unify_schemas([pa.schema([one]), pa.schema([other])], promote_options="permissive").field(0)
    except pa.ArrowException as error:
        raise ValueError(
            f"the column {one.name!r} holds {one.type} values in {first_name} and {other.type} in {other_name}; write "
            "both with one type"
        ) from error


def _plain(schema: Any) -> Any:
    """The schema without dictionaries, of which each file may have its own, and without what pandas notes beside it.

    Neither with pandas' numbers of rows, which it writes into some files of a table and not into others.
    """
    import pyarrow as pa

    kinds = [each.type.value_type if pa.types.is_dictionary(each.type) else each.type for each in schema]
    named = zip(schema.names, kinds, strict=True)
    return pa.schema([pa.field(name, kind) for name, kind in named if not _OF_ROWS.fullmatch(name)])


def _as(column: Any, kind: Any) -> Any:
    import pyarrow as pa

    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return plain if plain.type == kind else plain.cast(kind)


def _with_folders(schema: Any, said: Sequence[dict[str, Any]]) -> Any:
    """The schema with the columns that the names of folders say; a column of the file itself goes before."""
    import pyarrow as pa

    for name in said[0]:
        if name not in schema.names:
            is_number = any(isinstance(each[name], int) for each in said)
            schema = schema.append(pa.field(name, pa.int64() if is_number else pa.string()))
    return schema


def _said_by_folders(names: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """The columns in the names of folders, `site=north`: whole numbers where all are, but 01 is a text.

    Raises ValueError where some files are below such a folder and others are not.
    """
    said = [dict(map(_column_of, (part for part in Path(name).parts[:-1] if "=" in part))) for name in names]
    for each, name in zip(said, names, strict=True):
        if each.keys() != said[0].keys():
            raise ValueError(
                f"{name} and {names[0]} are not in folders of the same columns, such as site=north"
            )
    columns = {column: [each[column] for each in said] for column in said[0]}
    numbers = {
        column
        for column, values in columns.items()
        if all(value is None or _NUMBER.fullmatch(value) for value in values)
    }
    return tuple(
        {
            column: int(value) if value is not None and column in numbers else value
            for column, value in each.items()
        }
        for each in said
    )


def _column_of(part: str) -> tuple[str, str | None]:
    """The column and the value of a folder's name, as Hive writes them: %20 is a space, its own word a gap."""
    name, value = part.split("=", 1)
    return unquote(name), None if value == _NOTHING else unquote(value)
