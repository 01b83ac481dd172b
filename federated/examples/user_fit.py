"""A person's own preprocessing, learnt from the training examples: a transformer as of scikit-learn, or a function."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from federated.examples.conversion import as_inputs
from federated.examples.examples import bad_data
from federated.examples.plain_arrays import as_float32, owned
from federated.foundation.errors import OwnCodeFailed
from federated.machine.large_arrays import room
from federated.user_code.containment import contained

_TRANSFORMED_AT_A_TIME = 2**12


def raw_inputs(name: str, values: Any) -> Any:
    """What a person's own preprocessing takes: a DataFrame as it is, all else as an array [N, ...]. Raises BadInput."""
    if isinstance(values, pd.DataFrame):
        return values.reset_index(drop=True)
    if hasattr(values, "toarray"):
        raise bad_data(
            name, "inputs are a sparse matrix; return the rows that it was made of, or its `toarray()`"
        )
    if isinstance(values, list | tuple | pd.Series) and len(values) and isinstance(next(iter(values)), str):
        return np.array(list(values), object)
    return np.asarray(values)


def own_fit(name: str, fit: Any, inputs: Any) -> Callable[[np.ndarray], np.ndarray]:
    """The `fit` of `Examples`. fit: a transformer, or a function of the training indices that returns all inputs.

    Raises BadInput where it is neither; the errors of what is returned are OwnCodeFailed.
    """
    if hasattr(fit, "fit") and hasattr(fit, "transform"):
        if isinstance(fit, type):
            raise bad_data(
                name, f"fit must be a transformer, got the class {fit.__name__}; write {fit.__name__}()"
            )
        return partial(_by_transformer, name, fit, inputs)
    if callable(fit):
        return partial(_by_function, name, fit, len(inputs))
    raise bad_data(
        name,
        "fit must be a transformer with `fit` and `transform`, as scikit-learn's StandardScaler(), or a function of "
        f"the training indices that returns the inputs of all examples; got a {type(fit).__name__}",
    )


def _by_function(name: str, fit: Callable[[np.ndarray], Any], count: int, training: np.ndarray) -> np.ndarray:
    with contained(f"dataset: {name}: fit failed"):
        found = as_inputs(_dense(fit(training.copy())), partial(bad_data, name))
        if len(found) != count:
            raise OwnCodeFailed(
                f"dataset: {name}: fit returned inputs of {len(found):,} examples, there are {count:,}; it must return "
                "those of all examples, whoever trains"
            )
        return found


def _by_transformer(name: str, transformer: Any, inputs: Any, training: np.ndarray) -> np.ndarray:
    """All inputs as float32, or bytes where the transformer returns bytes, some thousand examples at a time."""
    with contained(f"dataset: {name}: {type(transformer).__name__} failed"):
        fitted = _fresh(transformer)
        fitted.fit(_rows(inputs, training))
        step = min(_TRANSFORMED_AT_A_TIME, len(inputs))
        made: np.ndarray | None = None
        for first in range(0, len(inputs), step):
            rows = np.arange(first, min(first + step, len(inputs)))
            block = _numbers(name, fitted.transform(_rows(inputs, rows)), len(rows))
            if made is None:
                made = room((len(inputs), *block.shape[1:]), block.dtype)
            made[rows] = block
    assert made is not None
    return made


def _fresh(transformer: Any) -> Any:
    """A copy that has learnt nothing. Random states that are not stated are 0, so that it learns the same each time."""
    if not hasattr(transformer, "get_params"):
        return copy.deepcopy(transformer)
    from sklearn.base import clone

    fresh = clone(transformer)
    states = {
        key: 0 for key, value in fresh.get_params().items() if value is None and key.endswith("random_state")
    }
    return fresh.set_params(**states) if states else fresh


def _rows(inputs: Any, rows: np.ndarray) -> Any:
    return inputs.iloc[rows] if isinstance(inputs, pd.DataFrame) else inputs[rows]


def _numbers(name: str, values: Any, count: int) -> np.ndarray:
    array = np.asarray(_dense(values))
    if array.ndim == 0 or len(array) != count:
        raise OwnCodeFailed(
            f"dataset: {name}: the transformer returned {list(array.shape)} for {count:,} examples; a row each is "
            "needed"
        )
    array = array[:, None] if array.ndim == 1 else array
    if array.dtype.kind not in "biuf":
        raise OwnCodeFailed(f"dataset: {name}: the transformer returned {array.dtype}; numbers are needed")
    return owned(array) if array.dtype == np.uint8 else as_float32("inputs", array, partial(bad_data, name))


def _dense(values: Any) -> Any:
    return values.toarray() if hasattr(values, "toarray") else values
