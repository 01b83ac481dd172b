"""Several target columns, and the column of weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from federated.examples.examples import Complaint
from federated.examples.plain_arrays import as_float32
from federated.examples.reading import named
from federated.examples.tables.features import numbers_of, refuse_gaps
from federated.examples.targets import NOT_OF_COLUMNS, Target, target_of
from federated.metrics.tasks import Targets
from federated.preprocessing.number_marks import Marks


def targets_of_columns(
    columns: Sequence[pd.Series[Any]], task: Targets | None, bad: Complaint, marks: Marks | None
) -> Target:
    """The targets float32 [N, columns]: numbers, or 0 and 1 of several labels. Raises BadInput.

    Several columns are numbers unless the task is stated; where they hold 0 and 1 alone it must be.
    """
    if task == "classification":
        raise bad("several target columns are for regression or multilabel; name one for classification")
    if task == "sequence":
        raise bad(
            f"several target columns are for regression or multilabel, and task: sequence {NOT_OF_COLUMNS}"
        )
    if task == "multilabel":
        return Target(np.stack([_label(column, bad, marks) for column in columns], axis=1), None)
    found = [target_of(column, None, "regression", bad, marks) for column in columns]
    values = np.stack([each.values for each in found], axis=1)
    if task is None and bool(np.isin(values, (0, 1)).all()):
        raise bad("the target columns hold 0 and 1 alone: say `task: multilabel`, or `task: regression`")
    return Target(values, None, tuple(suspicion for each in found for suspicion in each.suspicions))


def _label(column: pd.Series[Any], bad: Complaint, marks: Marks | None) -> np.ndarray:
    """0 and 1, float32 [N], of a column of these or of true and false."""
    refuse_gaps(column, bad, "remove these rows")
    if pd.api.types.is_bool_dtype(column.dtype):
        return column.to_numpy(np.float32)
    numbers = numbers_of(column, bad, marks).to_numpy()
    if len(other := np.flatnonzero(~np.isin(numbers, (0, 1)))):
        raise bad(
            f"{named(column.name, 'target ')} must hold 0 and 1, or true and false, for multilabel, but is "
            f"{numbers[other[0]]:g} in row {other[0] + 1}"
        )
    return numbers.astype(np.float32)


def weights_of(column: pd.Series[Any], bad: Complaint, marks: Marks | None) -> np.ndarray:
    """The weights of rows, float64 [N]. Raises BadInput where one is missing, no number or negative."""
    refuse_gaps(column, bad, "fill them, such as with 1")
    numbers = numbers_of(column, bad, marks).to_numpy()
    if len(negative := np.flatnonzero(numbers < 0)):
        raise bad(
            f"{named(column.name)} must not hold negative weights, but is {numbers[negative[0]]:g} in row "
            f"{negative[0] + 1}"
        )
    as_float32(named(column.name), numbers, bad)
    return numbers
