"""The feature columns of a table, each read by its type; errors of several columns are reported together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from federated.examples.examples import Complaint, gathered
from federated.examples.tables.features import (
    ColumnKind,
    categories_of,
    is_large,
    kind_of,
    numbers_of,
    refuse_gaps,
)
from federated.examples.tables.roles import Roles
from federated.machine.large_arrays import on_disk
from federated.preprocessing.number_marks import Marks


class FeatureColumns(NamedTuple):
    """kinds: of every feature, in the order of the table. cleaned: numeric columns are float64 with NaN, categorical
    ones text with None."""

    kinds: dict[str, ColumnKind]
    cleaned: pd.DataFrame


def feature_columns(
    frame: pd.DataFrame, roles: Roles, bad: Complaint, marks: Marks | None = None
) -> FeatureColumns:
    """The features of a tidy table. Raises BadInput with a line for each column that can be none.

    marks: of the numbers in the CSV file that it is from, if any.
    """
    stated: dict[str, ColumnKind] = dict.fromkeys(roles.numeric or (), "numeric")
    stated |= dict.fromkeys(roles.categorical or (), "categorical")
    complete = roles.numeric is not None and roles.categorical is not None
    candidates = (
        stated
        if complete
        else set(frame.columns) - {*roles.targets, roles.client, roles.weights, *roles.drop}
    )
    names = [name for name in frame.columns if name in candidates]
    if not names:
        raise bad("no column is left to be a feature")
    read = partial(_feature, missing=roles.missing == "error", bad=bad, marks=marks)
    large = is_large(len(frame), len(names))
    read = partial(_read_on_disk, read) if large else read
    found = gathered(partial(read, frame[name], stated.get(name)) for name in names)
    kinds = {name: kind for name, (kind, _) in zip(names, found, strict=True)}
    columns = {name: column for name, (_, column) in zip(names, found, strict=True)}
    return FeatureColumns(kinds, pd.DataFrame(columns, copy=not large))


def _read_on_disk(
    read: Callable[..., tuple[ColumnKind, pd.Series[Any]]], column: pd.Series[Any], stated: ColumnKind | None
) -> tuple[ColumnKind, pd.Series[Any]]:
    """The same; numbers that had to be converted are in a file, as all columns together would fill the memory."""
    kind, clean = read(column, stated)
    if kind == "categorical" or np.shares_memory(clean.to_numpy(), column.to_numpy()):
        return kind, clean
    array = on_disk((len(clean),), np.float64)
    array[:] = clean
    return kind, pd.Series(array, name=clean.name, copy=False)


def _feature(
    column: pd.Series[Any], stated: ColumnKind | None, missing: bool, bad: Complaint, marks: Marks | None
) -> tuple[ColumnKind, pd.Series[Any]]:
    """(what a column is, the column cleaned). missing: a missing value is an error."""
    kind = stated or kind_of(column, bad)
    if str(column.name).startswith("Unnamed: ") and stated is None:
        often = (
            "often a separator at the end of every line"
            if column.isna().all()
            else "often a saved row number"
        )
        raise bad(f"a column has no name, which is {often}; name it, or drop {column.name!r}")
    if missing:
        refuse_gaps(column, bad, "fill them, or say `missing: impute`")
    clean = {"numeric": numbers_of, "categorical": categories_of}
    return kind, clean[kind](column, bad, marks)
