"""The pool of examples that a partitioner distributes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from data_partitioners import Pool
from data_partitioners.ids import distinct_ids
from data_partitioners.partition import Origin
from federated.datasets import Examples
from federated.foundation.texts import listed, meant


def pool_of(examples: Examples, kept: np.ndarray) -> Pool:
    """The examples `kept`, int64, that are to be handed out; features and columns are looked up when asked for."""
    classes, ids = examples.classes, examples.client_ids
    numbers = examples.class_names is None  # sequences have neither one class nor a number
    return Pool(
        size=len(kept),
        labels=None if classes is None else examples.targets[kept],
        client_ids=None if ids is None else np.asarray(ids)[kept],
        client_names=None if ids is None else distinct_ids(np.asarray(ids))[0],
        targets=examples.targets[kept] if numbers else None,
        features=_features(examples, kept),
        column=lambda name: _column(examples, name)[kept],
        origin=Origin(kept, len(examples.targets), examples.digest),
    )


def _features(examples: Examples, kept: np.ndarray) -> Callable[[], np.ndarray]:
    """Preprocessing, where there is one, is fitted on all of the pool: who trains on what is not known yet."""
    return lambda: examples.fitted(kept).inputs[kept]


def _column(examples: Examples, name: str) -> np.ndarray:
    """A property of all examples, float64 [N]. Raises ValueError where there is none, or it is not numbers."""
    table = examples.properties if examples.properties is not None else examples.inputs
    if isinstance(table, pd.DataFrame):
        if name not in table.columns:
            raise ValueError(
                f"partitioner: there is no column {name!r}; {meant(name, table.columns)}the columns are: "
                f"{listed(table.columns)}"
            )
        found = table[name]
        if not pd.api.types.is_numeric_dtype(found.dtype):
            raise ValueError(
                f"partitioner: the column {name!r} holds {found.dtype} values, numbers are needed"
            )
        return found.to_numpy(np.float64, na_value=np.nan)
    if table.ndim != 2 or not name.isdecimal() or int(name) >= table.shape[1]:
        allowed = (
            f"0 ... {table.shape[1] - 1}" if table.ndim == 2 else "none, for inputs are not [N, features]"
        )
        raise ValueError(
            f"partitioner: there is no column {name!r}; the columns of these arrays are: {allowed}"
        )
    return np.asarray(table[:, int(name)], np.float64)
