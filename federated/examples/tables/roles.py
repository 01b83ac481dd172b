"""From a pandas table to Examples: which column is what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from federated.examples.client_ids import ids_of_column, ids_of_texts, suspicions_of_ids, tidied_column
from federated.examples.examples import Complaint, Examples, Task, bad_data
from federated.examples.reading import Reading, Suspicion, said, task_in_words
from federated.examples.tables.features import ColumnKind, features_of, kind_of, refuse_gaps
from federated.examples.tables.number_like import Marks
from federated.examples.tables.summary import columns_read, feature_suspicions
from federated.examples.targets import target_of


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


def examples_of_frame(
    frame: pd.DataFrame,
    roles: Roles,
    name: str,
    where: str,
    source: str = "",
    written: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
    marks: Marks | None = None,
) -> Examples:
    """Examples of a table with a target column, one a row. Raises BadInput.

    name: the data set, for messages. where: the file or the like that the table is from, for messages. written: the
    target, client and categorical columns as the file writes them, None where they are missing.
    notes: on how the file was read. marks: of the numbers in a CSV file.
    """
    bad = partial(bad_data, name)
    frame = _with_codes(tidy(frame, roles, bad, where), roles.categorical or (), written)
    assert roles.target is not None
    client_ids, said_of_ids = None, list[Suspicion]()
    if roles.client is not None:
        client_ids, said_of_ids = _client_ids(frame[roles.client], _as_written(written, roles.client), bad)
        frame = frame.assign(**{roles.client: client_ids})
    target = target_of(frame[roles.target], _as_written(written, roles.target), roles.task, bad, marks)
    kinds = feature_kinds(frame, roles, bad)
    inputs, fit = features_of(frame, kinds, bad, marks)
    task = task_in_words(target.values, target.classes)
    columns = columns_read(frame, inputs, kinds, roles.drop, roles.target, roles.client, task)
    suspicions = [
        *target.suspicions,
        *said_of_ids,
        *feature_suspicions(inputs, roles.categorical or (), kinds, marks),
    ]
    return Examples(
        name,
        inputs,
        target.values,
        target.classes,
        client_ids,
        fit=fit,
        source=source,
        properties=frame,
        reading=Reading(columns, (*notes, *said(suspicions))),
    )


def _with_codes(frame: pd.DataFrame, stated: Sequence[str], written: pd.DataFrame | None) -> pd.DataFrame:
    """Numbers that are stated to be categories as text: 01 as the file writes it, and no 1.0 for gaps elsewhere."""
    changed: dict[str, pd.Series[Any]] = {}
    for name in stated:
        column, present = frame[name], frame[name].notna()
        if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
            continue
        if (texts := _as_written(written, name)) is not None:
            changed[name] = texts.where(present, None)
        elif pd.api.types.is_float_dtype(column.dtype) and not present.all():
            numbers = column[present].to_numpy(np.float64)
            if (np.abs(numbers) < 2**53).all() and (numbers == np.floor(numbers)).all():
                changed[name] = column.astype("Int64")
    return frame.assign(**changed) if changed else frame


def _as_written(written: pd.DataFrame | None, column: str) -> pd.Series[Any] | None:
    return None if written is None or column not in written.columns else written[column]


def _client_ids(
    column: pd.Series[Any], written: pd.Series[Any] | None, bad: Complaint
) -> tuple[np.ndarray, list[Suspicion]]:
    """(the ids [N], what looks like a mistake among them). In a text file only what is empty is missing."""
    if written is None:
        ids, texts_before = ids_of_column(column, bad)
        return ids, list(suspicions_of_ids(str(column.name), texts_before, ids, "leave these rows out"))
    texts = tidied_column(written)
    refuse_gaps(texts, bad, "remove these rows")
    ids = ids_of_texts(texts.tolist())
    return ids, list(suspicions_of_ids(str(column.name), written.tolist(), ids))


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
        often = "often a separator at the end of every line" if frame[unnamed[0]].isna().all() else ""
        raise bad(
            f"a column has no name, which is {often or 'often a saved row number'}; name it, or drop {unnamed[0]!r}"
        )
    if roles.missing == "error":
        for column in kinds:
            refuse_gaps(frame[column], bad, "fill them, or say `missing: impute`")
    return kinds
