"""Bytes and hashes that identify what arrays and tables hold."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd


def description_of(part: Any) -> bytes:
    """The description that complements the bytes: dtype and shape, or a table's columns."""
    if isinstance(part, pd.DataFrame):
        return repr([(str(column), str(dtype)) for column, dtype in part.dtypes.items()]).encode()
    return repr(None if part is None else (str(part.dtype), part.shape)).encode()


_HASHED_AT_A_TIME = 2**24


def hashes_of(inputs: Any) -> np.ndarray:
    """A 64-bit hash of the inputs of each example, uint64 [N]."""
    if not isinstance(inputs, np.ndarray) or inputs.dtype == object:
        return np.asarray(pd.util.hash_pandas_object(pd.DataFrame(inputs), index=False))
    rows = inputs.reshape(len(inputs), -1)
    step = max(1, _HASHED_AT_A_TIME // max(rows[:1].nbytes, 1))
    hashed = bytearray()
    for start in range(0, len(rows), step):
        block = np.ascontiguousarray(rows[start : start + step])
        block = block + 0.0 if block.dtype.kind == "f" else block  # minus zero is zero
        hashed += b"".join(hashlib.blake2b(row, digest_size=8).digest() for row in block)
    return np.frombuffer(bytes(hashed), np.uint64)


def bytes_of(part: Any) -> bytes:
    """The values; of a table or of objects, a 64-bit hash of each row."""
    if isinstance(part, np.ndarray) and part.dtype != object:
        return part.tobytes()
    return np.asarray(pd.util.hash_pandas_object(pd.DataFrame(part), index=False)).tobytes()
