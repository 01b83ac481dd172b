"""Arrays and signals as raw rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def inputs_of_array(values: Mapping[str, Any], arrays: Mapping[str, np.ndarray], rows: Any) -> np.ndarray:
    """Arrays are inputs as they are. Raises ValueError where rows have another shape, or numbers do not fit the type.

    values: shape of one row, dtype.
    """
    wanted = np.dtype(values["dtype"])
    found = _shaped(rows, tuple(values["shape"]))
    if found.dtype.kind not in "biuf":
        raise ValueError(f"the rows must be numbers, got {found.dtype}")
    if found.dtype == wanted:
        return _finite(found)
    if wanted.kind in "iu" and not _fits(found, wanted):
        raise ValueError(f"the rows must be whole numbers that {wanted} holds")
    return _finite(found.astype(wanted))


def example_of_array(values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Two rows of zeros."""
    return np.zeros((2, *values["shape"]), np.dtype(values["dtype"]))


def inputs_of_signals(values: Mapping[str, Any], arrays: Mapping[str, np.ndarray], rows: Any) -> np.ndarray:
    """Windows [n, signals, length], each signal with mean 0 and deviation 1 over the training windows.

    values: shape of one row, signals. arrays: mean and scale (one over the deviation) [signals], float64.
    """
    windows = _shaped(rows, tuple(values["shape"])).astype(np.float32, copy=False)
    moved = (windows - arrays["mean"][:, None]) * arrays["scale"][:, None]
    standardised: np.ndarray = moved.astype(np.float32)
    return _finite(standardised)


def example_of_signals(values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Two windows in which every signal is at its mean."""
    mean = arrays["mean"].astype(np.float32)
    return np.broadcast_to(mean[None, :, None], (2, *values["shape"])).copy()


def _shaped(rows: Any, shape: tuple[int, ...]) -> np.ndarray:
    found = np.asarray(rows)
    if found.shape[1:] != shape:
        raise ValueError(f"the rows must be [n, {', '.join(map(str, shape))}], got {list(found.shape)}")
    return found


def _finite(inputs: np.ndarray) -> np.ndarray:
    """As training, which refuses what is missing or infinite."""
    if inputs.dtype.kind == "f" and len(broken := np.argwhere(~np.isfinite(inputs))):
        raise ValueError(f"the rows must be finite numbers, but row {broken[0][0] + 1} holds one that is not")
    return inputs


def _fits(found: np.ndarray, wanted: np.dtype[Any]) -> bool:
    limits = np.iinfo(wanted)
    whole = np.isfinite(found) & (np.floor(found) == found) if found.dtype.kind == "f" else True
    return bool(np.all(whole & (found >= limits.min) & (found <= limits.max)))
