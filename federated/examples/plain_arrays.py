"""Arrays of any make as plain numpy ones: torch tensors, lists, pandas columns, Python objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from federated.examples.examples import Complaint
from federated.machine.large_arrays import blocks_of, converted

_FEWEST_STEPS = 64
"""Numbers that 32-bit floats cut into no more steps than this have lost what they said."""


def as_float32(field: str, array: np.ndarray, bad: Complaint) -> np.ndarray:
    """The array as float32, ready for torch; a number that would become infinite is refused."""
    with np.errstate(over="ignore"):
        narrow = converted(array, np.float32)
    if array.dtype.itemsize > narrow.dtype.itemsize and array.ndim <= 2:
        _check_resolved(field, array, narrow, bad)
    if any((np.isinf(narrow[rows]) & np.isfinite(array[rows])).any() for rows in blocks_of(array)):
        raise bad(f"{field} holds numbers beyond the range of 32-bit floats (3.4e38); scale it down")
    return owned(narrow)


def _check_resolved(field: str, array: np.ndarray, narrow: np.ndarray, bad: Complaint) -> None:
    """Raise where large numbers close to each other, such as seconds since 1970, become a few.

    array: [N] or [N, columns]. narrow: the same in 32 bits.
    """
    wide, short = (each.reshape(len(each), -1) for each in (array, narrow))
    lowest, highest = wide.min(axis=0).astype(float), wide.max(axis=0).astype(float)
    with np.errstate(invalid="ignore", over="ignore"):  # infinite values are found elsewhere
        steps = np.spacing(np.maximum(np.abs(lowest), np.abs(highest)).astype(np.float32)).astype(float)
        close = (highest > lowest) & (highest - lowest <= _FEWEST_STEPS * steps)
    for at in np.flatnonzero(close):
        if len(np.unique(short[:, at])) < len(np.unique(wide[:, at])):
            raise bad(
                f"{field} holds numbers from {lowest[at]:.15g} to {highest[at]:.15g}, which 32-bit floats tell apart "
                f"only in steps of {steps[at]:g}; subtract a fixed number such as {lowest[at]:.15g} from all of them"
            )


def plain_array(field: str, values: Any, bad: Complaint) -> np.ndarray:
    """A numpy array [N, ...] of numbers, booleans or text; Python objects are unwrapped, None is refused.

    So are masked values, which numpy itself would replace by what lies below the mask.
    """
    try:
        array = np.asanyarray(_numpy_of(values))
    except (ValueError, TypeError) as error:
        raise bad(f"{field} cannot be read as one array: {error}") from error
    if array.ndim == 0:
        raise bad(f"{field} must be an array with an entry for each example, got a {type(values).__name__}")
    if isinstance(array, np.ma.MaskedArray):
        _refuse_masked(field, array, bad)
    array = np.asarray(array)
    if array.dtype.kind == "U" and isinstance(values, list | tuple):
        # numpy would write a None or a number among texts as text: the class 'nan'.
        array = np.asarray(values, dtype=object)
    try:
        if array.dtype.kind == "S":
            return np.char.decode(array, "utf-8")
        return _unwrapped(field, array, bad) if array.dtype.kind in "OT" else array
    except UnicodeDecodeError as error:
        raise bad(f"{field} holds bytes that are not UTF-8; turn them into text first") from error


def _refuse_masked(field: str, array: Any, bad: Complaint) -> None:
    masked = np.ma.getmaskarray(array).reshape(len(array), -1)
    if len(rows := np.flatnonzero(masked.any(axis=1))):
        raise bad(
            f"{field} has masked values in {len(rows):,} of {len(masked):,} examples, the first is example {rows[0]}; "
            "leave these examples out, or fill them"
        )


def _numpy_of(values: Any) -> Any:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.is_floating_point() else values).numpy()
    if isinstance(values, list | tuple) and values and isinstance(values[0], Tensor):
        return np.stack([_numpy_of(value) for value in values])
    if isinstance(values, list | tuple) and any(isinstance(each, np.ma.MaskedArray) for each in values):
        return np.ma.stack(values)
    return values


def _unwrapped(field: str, array: np.ndarray, bad: Complaint) -> np.ndarray:
    """An array of Python objects as the dtype that all of them have."""
    missing = np.flatnonzero(pd.isna(array).reshape(len(array), -1).any(axis=1))
    if len(missing):
        raise bad(f"{field} has {len(missing)} missing values, the first is example {missing[0]}")
    kind = pd.api.types.infer_dtype(array.ravel())
    if kind == "bytes":
        return np.char.decode(array.astype(bytes), "utf-8")
    if kind == "integer" and not all(-(2**63) <= each < 2**63 for each in (array.min(), array.max())):
        raise bad(f"{field} holds whole numbers beyond 64 bits, such as {max(array.ravel(), key=abs)}")
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
