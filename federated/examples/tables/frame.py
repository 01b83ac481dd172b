"""Conversion of a pandas table to Examples, by the roles of its columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from federated.examples.client_ids import (
    GAP_IN_NAMES,
    check_exact,
    ids_of_column,
    ids_of_texts,
    suspicions_of_ids,
    tidied_column,
)
from federated.examples.examples import Complaint, Examples, bad_data, gathered
from federated.examples.reading import Reading, Suspicion, named, said, task_in_words
from federated.examples.tables.feature_columns import FeatureColumns, feature_columns
from federated.examples.tables.features import fit_of, refuse_gaps
from federated.examples.tables.roles import Roles
from federated.examples.tables.several_targets import targets_of_columns, weights_of
from federated.examples.tables.summary import columns_read, feature_suspicions
from federated.examples.targets import Target, target_of
from federated.foundation.texts import listed, meant
from federated.preprocessing.number_marks import Marks


def examples_of_frame(
    frame: pd.DataFrame,
    roles: Roles,
    name: str,
    where: str,
    source: str = "",
    written: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
    marks: Marks | None = None,
    missing_values: Sequence[str] = (),
) -> Examples:
    """Examples of a table with a target column, one a row. Raises BadInput.

    name: the data set, for messages. where: the file or the like that the table is from, for messages. written: the
    target, client and categorical columns as the file writes them, None where they are missing.
    notes: on how the file was read. marks: of the numbers in a CSV file. missing_values: texts that are missing there.
    """
    bad = partial(bad_data, name)
    frame = _with_codes(tidy(frame, roles, bad, where), roles.categorical or (), written, bad)
    (client_ids, said_of_ids), target, (kinds, inputs), weights = _columns(frame, roles, bad, written, marks)
    if roles.client is not None:
        frame = frame.assign(**{roles.client: client_ids})
    if roles.weights is not None:
        frame = frame.assign(**{roles.weights: weights})
    task = task_in_words(target.values, target.classes, roles.task)
    columns = columns_read(frame, inputs, kinds, roles, task)
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
        fit=fit_of(inputs, kinds, marks, missing_values),
        source=source,
        properties=frame,
        reading=Reading(columns, (*notes, *said(suspicions))),
        weights=weights,
        target_names=roles.targets if len(roles.targets) > 1 else None,
    )


def _columns(
    frame: pd.DataFrame, roles: Roles, bad: Complaint, written: pd.DataFrame | None, marks: Marks | None
) -> tuple[tuple[np.ndarray | None, list[Suspicion]], Target, FeatureColumns, np.ndarray | None]:
    """(ids and what looks like a mistake among them, target, features, weights). Raises BadData with all errors."""

    def ids() -> tuple[np.ndarray | None, list[Suspicion]]:
        client = roles.client
        return (
            (None, []) if client is None else client_ids_of(frame[client], as_written(written, client), bad)
        )

    def weights() -> np.ndarray | None:
        return None if roles.weights is None else weights_of(frame[roles.weights], bad, marks)

    attempts: list[Callable[[], Any]] = [
        partial(_target, frame, roles, bad, written, marks),
        partial(feature_columns, frame, roles, bad, marks),
        ids,
        weights,
    ]
    target, features, client_ids, factors = gathered(attempts)
    return client_ids, target, features, factors


def _target(
    frame: pd.DataFrame, roles: Roles, bad: Complaint, written: pd.DataFrame | None, marks: Marks | None
) -> Target:
    """The target of one column, or of several."""
    several = roles.task == "multilabel" or len(roles.targets) > 1
    if several:
        return targets_of_columns([frame[name] for name in roles.targets], roles.task, bad, marks)
    (name,) = roles.targets
    return target_of(frame[name], as_written(written, name), roles.task, bad, marks)


def _with_codes(
    frame: pd.DataFrame, stated: Sequence[str], written: pd.DataFrame | None, bad: Complaint
) -> pd.DataFrame:
    """Numbers that are stated to be categories as text: 01 as the file writes it, and no 1.0 for gaps elsewhere."""
    changed: dict[str, pd.Series[Any]] = {}
    for name in stated:
        column, present = frame[name], frame[name].notna()
        if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
            continue
        if (texts := as_written(written, name)) is not None:
            changed[name] = texts.where(present, None)
        elif pd.api.types.is_float_dtype(column.dtype) and not present.all():
            numbers = column[present].to_numpy(np.float64)
            check_exact(named(name), numbers, bad)
            if (numbers == np.floor(numbers)).all():
                changed[name] = column.astype("Int64")
    return frame.assign(**changed) if changed else frame


def as_written(written: pd.DataFrame | None, column: str) -> pd.Series[Any] | None:
    """A column as the file writes it, where that is known."""
    return None if written is None or column not in written.columns else written[column]


def client_ids_of(
    column: pd.Series[Any], written: pd.Series[Any] | None, bad: Complaint
) -> tuple[np.ndarray, list[Suspicion]]:
    """(the ids [N], what looks like a mistake among them). In a text file only what is empty is missing."""
    if written is None:
        ids, texts_before = ids_of_column(column, bad)
        return ids, list(suspicions_of_ids(str(column.name), texts_before, ids, "leave these rows out"))
    texts = tidied_column(written)
    refuse_gaps(texts, bad, GAP_IN_NAMES)
    ids = ids_of_texts(texts.tolist())
    return ids, list(suspicions_of_ids(str(column.name), written.tolist(), ids))


def tidy(frame: pd.DataFrame, roles: Roles, bad: Complaint, where: str) -> pd.DataFrame:
    """The table with text as column names and rows numbered from 0; an index with a role is a column."""
    wanted = {column for _, column in roles.named()}
    levels = [level for level in frame.index.names if level in wanted]
    frame = (frame.reset_index(levels) if levels else frame).reset_index(drop=True)
    frame.columns = pd.Index([str(column) for column in frame.columns])
    frame = _decoded(frame)
    if len(repeated := frame.columns[frame.columns.duplicated()]):
        raise bad(
            f"the column {repeated[0]!r} is in {where} more than once; give every column a name of its own"
        )
    if absent := [named(name, f"{role} ") for role, name in roles.named() if name not in frame.columns]:
        only = "; is the separator right?" if len(frame.columns) == 1 else ""
        are = "is" if len(absent) == 1 else "are"
        near = "".join(meant(name, frame.columns) for _, name in roles.named() if name not in frame.columns)
        raise bad(
            f"{listed(absent)} {are} not in {where}; {near}its columns are: {listed(frame.columns)}{only}"
        )
    if len(frame) < 2:
        raise bad(f"at least 2 rows are needed, {where} has {len(frame)}")
    return frame


def _decoded(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of bytes, as some programs store text in Parquet, as text; those that are no UTF-8 stay."""
    changed: dict[str, pd.Series[Any]] = {}
    for name in frame.columns:
        column = frame[name]
        if not isinstance(column, pd.Series) or column.dtype != object:
            continue
        if pd.api.types.infer_dtype(column, skipna=True) != "bytes":
            continue
        try:
            changed[name] = column.map(lambda value: value.decode() if isinstance(value, bytes) else None)
        except UnicodeDecodeError:
            continue  # refused where the column is used
    return frame.assign(**changed) if changed else frame
