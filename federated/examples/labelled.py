"""Labels of examples that are no table themselves, such as texts and images: target, client, test split."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from data_partitioners.ids import distinct_ids
from federated.examples.examples import Complaint, gathered
from federated.examples.reading import ColumnRead, Suspicion, listed, named, span, task_in_words
from federated.examples.tables.features import refuse_gaps, text_of
from federated.examples.tables.frame import as_written, client_ids_of
from federated.examples.tables.several_targets import weights_of
from federated.examples.targets import Target, target_of
from federated.metrics.tasks import Targets
from federated.preprocessing.number_marks import Marks

_TEST = {"test": True, "true": True, "1": True, "1.0": True}
_TRAINING = {"train": False, "training": False, "false": False, "0": False, "0.0": False}
_MOST_LISTED = 99


class LabelColumns(NamedTuple):
    """The columns with labels. Each differs from the others and from those of the inputs."""

    target: str
    client: str | None = None
    test: str | None = None
    weights: str | None = None

    def named(self) -> list[tuple[str, str]]:
        """(role for messages, column) of every column that is named."""
        return [(role, name) for role, name in self._asdict().items() if name is not None]

    def check(self, inputs: tuple[str, ...], field: str) -> None:
        """Raise ValueError where a column has two roles. field: of the columns of inputs."""
        if not inputs:
            raise ValueError(f"{field} must name at least one column")
        roles = [(field, name) for name in inputs] + self.named()
        for at, (role, name) in enumerate(roles):
            if before := [other for other, taken in roles[:at] if taken == name]:
                raise ValueError(f"{role} must be another column than {before[0]}, got {name!r} for both")


class Labels(NamedTuple):
    """The labels of all examples, with what looks like a mistake among them."""

    target: Target
    client_ids: np.ndarray | None
    test: np.ndarray | None
    suspicions: tuple[Suspicion, ...]
    weights: np.ndarray | None = None


def labels_of(
    frame: pd.DataFrame,
    written: pd.DataFrame | None,
    columns: LabelColumns,
    task: Targets | None,
    bad: Complaint,
    marks: Marks | None = None,
) -> Labels:
    """The labels in a table. Raises BadData with all that is wrong.

    written: the same as a CSV file writes them, None where it is from none. marks: of the numbers in that file.
    """
    if len(frame) < 2:
        raise bad(f"at least 2 examples are needed, there is {len(frame)}")
    target, client, test, weights = columns
    attempts: list[Callable[[], Any]] = [
        partial(target_of, frame[target], as_written(written, target), task, bad, marks)
    ]
    if client is not None:
        attempts.append(partial(client_ids_of, frame[client], as_written(written, client), bad))
    if test is not None:
        attempts.append(partial(_test_of, frame[test], bad))
    if weights is not None:
        attempts.append(partial(weights_of, frame[weights], bad, marks))
    found = iter(gathered(attempts))
    of_target = next(found)
    ids, said_of_ids = next(found) if client is not None else (None, [])
    split = next(found) if test is not None else None
    factors = next(found) if weights is not None else None
    return Labels(of_target, ids, split, (*of_target.suspicions, *said_of_ids), factors)


def label_columns_read(frame: pd.DataFrame, columns: LabelColumns, labels: Labels) -> tuple[ColumnRead, ...]:
    """Every column of the table with its role, in its order."""
    return tuple(_column_read(str(name), frame, columns, labels) for name in frame.columns)


def _column_read(name: str, frame: pd.DataFrame, columns: LabelColumns, labels: Labels) -> ColumnRead:
    if name == columns.target:
        return ColumnRead(name, "target", task_in_words(labels.target.values, labels.target.classes), 0.0, 0)
    if name == columns.client:
        assert labels.client_ids is not None
        ids = list(map(str, distinct_ids(labels.client_ids)[0]))
        return ColumnRead(name, "client", f"{len(ids):,} clients: {listed(ids[:_MOST_LISTED])}", 0.0, 0)
    if name == columns.test:
        assert labels.test is not None
        return ColumnRead(
            name, "test", f"{int(labels.test.sum()):,} examples of {len(labels.test):,}", 0.0, 0
        )
    if name == columns.weights:
        assert labels.weights is not None
        return ColumnRead(name, "weights", span(labels.weights), 0.0, 0)
    return ColumnRead(name, "unused", "", float(frame[name].isna().mean()), 0)


def _test_of(column: pd.Series[Any], bad: Complaint) -> np.ndarray:
    """Bool [N]: which rows are of the own test split."""
    refuse_gaps(column, bad, "say of every row whether it is of the test split")
    read = text_of(column).str.strip().str.casefold().map(_TEST | _TRAINING)
    if len(strange := np.flatnonzero(read.isna())):
        raise bad(
            f"{named(column.name, 'test ')} is {column.iloc[strange[0]]!r} in row {strange[0] + 1}; it must be test or "
            "train, true or false, 1 or 0"
        )
    return read.to_numpy(bool)
