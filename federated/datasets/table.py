"""Tables from a file: CSV or Parquet."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from federated.datasets.csv_files.format import CsvFormat
from federated.datasets.csv_files.read import CsvTable, read_csv
from federated.datasets.parquet.columns import parquet_table
from federated.datasets.parquet.files import SUFFIXES, is_folder_of_rows
from federated.datasets.wanted_file import check_file
from federated.examples.examples import Examples, bad_data
from federated.examples.tables.features import is_large
from federated.examples.tables.frame import examples_of_frame
from federated.examples.tables.roles import Roles
from federated.foundation.errors import BadInput
from federated.metrics.tasks import TaskName, targets_of

ADDED_LATER: dict[str, Any] = {
    "missing_values": [],
    "decimal": ".",
    "thousands": None,
    "encoding": None,
    "header": None,
    "names": None,
    "weights": None,
}
"""Arguments, and their defaults as JSON, that older run keys do not know."""


def table(
    path: Path,
    target: str | tuple[str, ...],
    client: str | None = None,
    task: TaskName | None = None,
    numeric: tuple[str, ...] | None = None,
    categorical: tuple[str, ...] | None = None,
    drop: tuple[str, ...] = (),
    missing: Literal["impute", "error"] = "impute",
    separator: str = ",",
    missing_values: tuple[str | int | float, ...] = (),
    decimal: str = ".",
    thousands: str | None = None,
    encoding: str | None = None,
    header: int | None = None,
    names: tuple[str, ...] | None = None,
    weights: str | None = None,
) -> Callable[[], Examples]:
    """One example a row, one feature a column; preprocessing is fitted on the training examples alone.

    path: a CSV file (.gz and the like are unpacked), a .parquet file, or a folder of these, which are one table; of a
        folder's name such as site=north in it the column is site. What pandas reads as missing is missing: an
        empty field, NA, NaN, null, None, ...; in the client column only an empty field is.
    target: the column to predict, or several at once: of numbers, or for `task: multilabel` of 0 and 1. Messages count
        rows from 1, without the header.
    client: the column that says who holds each row; never a feature. Ids are texts: 001 and 1 are two clients.
    task: unless stated, a target of text or booleans is classification, one of whole numbers with at most 20
        distinct ones too, and any other number is regression. Class numbers follow the sorted values. A target of
        text that is mostly numbers is refused.
    numeric, categorical: columns to be read so. Where both are stated they are all the features there are;
        else the columns not named are inferred: numbers are numeric, text and booleans categorical. Categories
        are texts: 01 and 1 are two.
    drop: columns to leave out.
    weights: the column of numbers >= 0 by which the loss of each row is multiplied in training; never a feature. Only
        their ratios matter.
    missing: "impute": a missing number becomes the median of the training examples, and an input of its own says where;
        a missing category is a category; "error" refuses a missing feature.

    The arguments below are for CSV files alone.

    separator: one character; a tab is "\\t", in double quotes.
    missing_values: texts that stand for a missing value as well, such as ["?", "not done", -999].
    decimal, thousands: the mark before the decimals, and the one that groups thousands.
    encoding: unless stated UTF-8, or what a byte order mark says; such as cp1252 for files of older Windows programs.
    header: the number of the line with the names of the columns, from 1; 0: there is none.
    names: the columns' names, for a file without a header line; with `header` stated they replace it.
    """
    try:
        is_folder = is_folder_of_rows(path)
    except OSError as error:  # of a folder below it that may not be read
        raise ValueError(f"path {path}: {error.filename} cannot be read: {error.strerror}") from error
    if not is_folder:
        check_file(path, "a CSV or Parquet file, or a folder of Parquet files, is needed")
    roles = Roles(target, client, targets_of(task), numeric, categorical, drop, missing, weights)
    form = CsvFormat(separator, tuple(map(str, missing_values)), decimal, thousands, encoding, header, names)
    is_parquet = is_folder or path.suffix.lower() in SUFFIXES
    if is_parquet and (stated := form.stated()):
        raise ValueError(f"{stated[0]} is of CSV files, but path {path.name} is Parquet; leave it out")

    def load() -> Examples:
        if is_parquet:
            return examples_of_frame(_parquet(path, roles), roles, "table", path.name, str(path)).as_stated(
                task
            )
        frame, written, notes = _csv(path, form, roles)
        examples = examples_of_frame(
            frame, roles, "table", path.name, str(path), written, notes, form.marks, form.missing_values
        )
        return examples.as_stated(task)

    return load


def _parquet(path: Path, roles: Roles) -> pd.DataFrame:
    """The table; labels are texts or numbers, never categories of a table that is on disk."""
    try:
        frame = parquet_table(path, {name for _, name in roles.named()})
    except BadInput:
        raise
    except (ValueError, OSError) as error:
        raise bad_data("table", f"{path} cannot be read: {error}") from error
    labels = [name for name in (roles.target, roles.client) if name in frame.columns]
    coded = [name for name in labels if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    return frame.astype(dict.fromkeys(coded, object)) if is_large(*frame.shape) and coded else frame


def _csv(path: Path, form: CsvFormat, roles: Roles) -> CsvTable:
    as_text = [*roles.targets, *([] if roles.client is None else [roles.client]), *(roles.categorical or ())]
    inferred = roles.numeric is None or roles.categorical is None
    try:
        return read_csv(path, form, roles.named(), as_text, inferred)
    except (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise bad_data("table", f"{path} cannot be read: {error}") from error
