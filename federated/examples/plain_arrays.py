"""Arrays of any make as plain numpy ones: torch tensors, lists, pandas columns, Python objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from federated.examples.examples import Complaint


def as_float32(field: str, array: np.ndarray, bad: Complaint) -> np.ndarray:
    """The array as float32, ready for torch; a number that would become infinite is refused."""
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32, copy=False)
    if (np.isinf(narrow) & np.isfinite(array)).any():
        raise bad(f"{field} holds numbers beyond the range of 32-bit floats (3.4e38); scale it down")
    return owned(narrow)


def plain_array(field: str, values: Any, bad: Complaint) -> np.ndarray:
    """A numpy array [N, ...] of numbers, booleans or text; Python objects are unwrapped, None is refused."""
    try:
        array = np.asarray(_numpy_of(values))
        array = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
    except (ValueError, TypeError) as error:
        raise bad(f"{field} cannot be read as one array: {error}") from error
    if array.ndim == 0:
        raise bad(f"{field} must be an array with an entry for each example, got a {type(values).__name__}")
    if array.dtype.kind == "U" and isinstance(values, list | tuple):
        # numpy would write a None or a number among texts as text: the class 'nan'.
        array = np.asarray(values, dtype=object)
    return _unwrapped(field, array, bad) if array.dtype.kind in "OT" else array


def _numpy_of(values: Any) -> Any:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.is_floating_point() else values).numpy()
    if isinstance(values, list | tuple) and values and isinstance(values[0], Tensor):
        return np.stack([_numpy_of(value) for value in values])
    return values


def _unwrapped(field: str, array: np.ndarray, bad: Complaint) -> np.ndarray:
    """An array of Python objects as the dtype that all of them have."""
    missing = np.flatnonzero(pd.isna(array).reshape(len(array), -1).any(axis=1))
    if len(missing):
        raise bad(f"{field} has {len(missing)} missing values, the first is example {missing[0]}")
    kind = pd.api.types.infer_dtype(array.ravel())
    dtype = {
        "string": str,
        "integer": np.int64,
        "boolean": bool,
        "floating": float,
        "mixed-integer-float": float,
    }
    if kind not in dtype:
        raise bad(f"{field} must hold numbers or text of one kind, got {kind} Python objects")
    return array.astype(dtype[kind])


def owned(array: np.ndarray) -> np.ndarray:
    """As torch takes it without a copy: contiguous, writable, in the machine's byte order."""
    return np.require(array, array.dtype.newbyteorder("="), ["C", "W"])
