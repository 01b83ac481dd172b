"""A summary of a table's columns as they were read, and warnings about likely mistakes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np
import pandas as pd

from data_partitioners.ids import distinct_ids
from federated.examples.reading import ColumnRead, Suspicion, listed, span
from federated.examples.tables.features import ColumnKind
from federated.examples.tables.roles import Roles
from federated.examples.tables.suspicions import of_numbers, of_texts
from federated.preprocessing.number_marks import Marks

_MOST_LISTED = 99
_NO_ROLES = Roles(None)


def feature_suspicions(
    cleaned: pd.DataFrame,
    stated: Collection[str],
    kinds: Mapping[str, ColumnKind],
    marks: Marks | None = None,
) -> Iterator[Suspicion]:
    """Warnings about likely mistakes in the cleaned feature columns.

    stated: columns that somebody calls categorical. marks: of the numbers in the CSV file that they are from, if any.
    """
    for name, column in cleaned.items():
        if kinds[str(name)] == "numeric":
            yield from of_numbers(str(name), column.to_numpy(np.float64), marks)
        else:
            yield from of_texts(str(name), column, name in stated, marks)


def columns_read(
    frame: pd.DataFrame,
    cleaned: pd.DataFrame,
    kinds: Mapping[str, ColumnKind],
    roles: Roles = _NO_ROLES,
    task: str = "",
) -> tuple[ColumnRead, ...]:
    """Every column of the table with its role; of features also how many inputs they make, over all rows.

    cleaned: the features. task: what was made of the target, in words.
    """
    features = {str(name): _feature_read(str(name), c, kinds[str(name)]) for name, c in cleaned.items()}
    return tuple(
        features[name] if name in features else _other_read(name, frame, roles, task)
        for name in frame.columns
    )


def _other_read(
    name: str,
    frame: pd.DataFrame,
    roles: Roles,
    task: str,
) -> ColumnRead:
    if name in roles.targets:
        return ColumnRead(name, "target", task, 0.0, 0)
    if name == roles.weights:
        return ColumnRead(name, "weights", span(frame[name].to_numpy(np.float64)), 0.0, 0)
    if name == roles.client:
        ids = list(map(str, distinct_ids(frame[name].to_numpy())[0]))
        return ColumnRead(name, "client", f"{len(ids):,} clients: {listed(ids[:_MOST_LISTED])}", 0.0, 0)
    return ColumnRead(
        name, "dropped" if name in roles.drop else "unused", "", float(frame[name].isna().mean()), 0
    )


def _feature_read(name: str, column: pd.Series[float], kind: ColumnKind) -> ColumnRead:
    if kind == "numeric":
        numbers = column.to_numpy(np.float64)
        missing = float(np.isnan(numbers).mean())
        inputs = 0 if missing == 1 else 1 + (missing > 0)
        return ColumnRead(name, kind, span(numbers), missing, inputs)
    missing = float(column.isna().mean())
    values = sorted(map(str, column.dropna().unique()))
    named = f"{len(values):,} values: {listed(values[:_MOST_LISTED])}"
    return ColumnRead(name, kind, named, missing, len(values) + (missing > 0))
