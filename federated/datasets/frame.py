"""From a pandas table to Examples: which column is what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from federated.datasets.coerce import as_float32
from federated.datasets.examples import Complaint, Examples, Task, bad_data
from federated.datasets.features import (
    MOST_CATEGORIES,
    ColumnKind,
    features_of,
    kind_of,
    numbers_of,
    text_of,
)

MOST_CLASSES_INFERRED = 20
"""A target of whole numbers with at most this many distinct ones is read as classes."""


@dataclass(frozen=True)
class Roles:
    """What the columns of a table are for, as `table` documents. Raises ValueError on contradictions."""

    target: str | None
    client: str | None = None
    task: Task | None = None
    numeric: tuple[str, ...] | None = None
    categorical: tuple[str, ...] | None = None
    drop: tuple[str, ...] = ()
    missing: Literal["impute", "error"] = "impute"

    def __post_init__(self) -> None:
        if self.target is not None and self.target == self.client:
            raise ValueError(f"client must be another column than target, got {self.client!r} for both")
        numeric, categorical = self.numeric or (), self.categorical or ()
        for column in (*numeric, *categorical):
            for role in ("target", "client"):
                if column == getattr(self, role):
                    raise ValueError(
                        f"{role} must not be a feature, but {column!r} is also in numeric or categorical"
                    )
            if column in self.drop:
                raise ValueError(
                    f"drop must not name features, but {column!r} is also in numeric or categorical"
                )
        if both := sorted(set(numeric) & set(categorical)):
            raise ValueError(f"categorical must not name numeric columns, but {both[0]!r} is in both")
        if self.target in self.drop:
            raise ValueError(f"drop must not name the target column {self.target!r}")

    def named(self) -> list[tuple[str, str]]:
        """(role for messages, column) of every column that is named."""
        single = [("target", self.target), ("client", self.client)]
        many = [("numeric", self.numeric), ("categorical", self.categorical), ("drop", self.drop)]
        listed = [(role, column) for role, columns in many for column in columns or ()]
        return [(role, column) for role, column in single if column is not None] + listed


def examples_of_frame(frame: pd.DataFrame, roles: Roles, name: str, where: str, source: str = "") -> Examples:
    """Examples of a table with a target column, one a row. Raises BadInput.

    name: the data set, for messages. where: the file or the like that the table is from, for messages.
    """
    bad = partial(bad_data, name)
    frame = tidy(frame, roles, bad, where)
    assert roles.target is not None
    _refuse_gaps(frame, [c for c in (roles.target, roles.client) if c is not None], bad, "remove these rows")
    targets, classes = _targets(frame[roles.target], roles.task, bad)
    inputs, fit = features_of(frame, feature_kinds(frame, roles, bad), bad)
    client_ids = None if roles.client is None else _client_ids(frame[roles.client])
    return Examples(name, inputs, targets, classes, client_ids, fit=fit, source=source, properties=frame)


def tidy(frame: pd.DataFrame, roles: Roles, bad: Complaint, where: str) -> pd.DataFrame:
    """The table with text as column names and rows numbered from 0; an index with a role is a column."""
    wanted = {column for _, column in roles.named()}
    levels = [level for level in frame.index.names if level in wanted]
    frame = (frame.reset_index(levels) if levels else frame).reset_index(drop=True)
    frame.columns = pd.Index([str(column) for column in frame.columns])
    if len(repeated := frame.columns[frame.columns.duplicated()]):
        raise bad(
            f"the column {repeated[0]!r} is in {where} more than once; give every column a name of its own"
        )
    for role, column in roles.named():
        if column not in frame.columns:
            only = "; is the separator right?" if len(frame.columns) == 1 else ""
            raise bad(
                f"the {role} column {column!r} is not in {where}; "
                f"its columns are: {', '.join(frame.columns)}{only}"
            )
    if len(frame) < 2:
        raise bad(f"at least 2 rows are needed, {where} has {len(frame)}")
    return frame


def feature_kinds(frame: pd.DataFrame, roles: Roles, bad: Complaint) -> dict[str, ColumnKind]:
    """The kind of every feature column, in the order of the table."""
    stated: dict[str, ColumnKind] = dict.fromkeys(roles.numeric or (), "numeric")
    stated |= dict.fromkeys(roles.categorical or (), "categorical")
    complete = roles.numeric is not None and roles.categorical is not None
    candidates = stated if complete else set(frame.columns) - {roles.target, roles.client, *roles.drop}
    kinds = {c: stated.get(c) or kind_of(frame[c], bad) for c in frame.columns if c in candidates}
    if not kinds:
        raise bad("no column is left to be a feature")
    if unnamed := [c for c in kinds if c.startswith("Unnamed: ") and c not in stated]:
        raise bad(f"a column has no name, which is often a saved row number; name it, or drop {unnamed[0]!r}")
    if roles.missing == "error":
        _refuse_gaps(frame, list(kinds), bad, "fill them, or say `missing: impute`")
    return kinds


def _refuse_gaps(frame: pd.DataFrame, columns: list[str], bad: Complaint, cure: str) -> None:
    for column in columns:
        if len(gaps := np.flatnonzero(frame[column].isna())):
            raise bad(
                f"the column {column!r} is missing in {len(gaps):,} of {len(frame):,} rows, "
                f"the first is row {gaps[0] + 1}; {cure}"
            )


def _targets(
    column: pd.Series[Any], task: Task | None, bad: Complaint
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """(class numbers int64 [N], names of the classes in sorted order), or (float32 [N], None)."""
    if task != "regression" and kind_of(column, bad) == "categorical":
        texts, codes = np.unique(text_of(column).to_numpy().astype(str), return_inverse=True)
        if task is None and len(texts) > MOST_CATEGORIES:
            raise bad(
                f"the target column {column.name!r} has {len(texts):,} distinct texts; "
                "if these are classes, say `task: classification`"
            )
        return codes.astype(np.int64), _class_names(texts.tolist(), column, bad)
    numbers = numbers_of(column, bad).to_numpy()
    values, codes = np.unique(numbers, return_inverse=True)
    if task == "regression" or (task is None and not _like_classes(values)):
        return as_float32(f"the target column {column.name!r}", numbers, bad), None
    names = [str(int(value) if value.is_integer() else value) for value in values.tolist()]
    return codes.astype(np.int64), _class_names(names, column, bad)


def _like_classes(values: np.ndarray) -> bool:
    return len(values) <= MOST_CLASSES_INFERRED and bool((values == np.floor(values)).all())


def _class_names(names: list[str], column: pd.Series[Any], bad: Complaint) -> tuple[str, ...]:
    if len(names) < 2:
        raise bad(f"the target column {column.name!r} is {names[0]!r} in every row; 2 classes are needed")
    return tuple(names)


def _client_ids(column: pd.Series[Any]) -> np.ndarray:
    """Integers, or text: what can be sorted, told apart and printed."""
    is_integer = pd.api.types.is_integer_dtype(column.dtype)
    return column.to_numpy(np.int64) if is_integer else text_of(column).to_numpy().astype(str)
