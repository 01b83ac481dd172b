"""Bytes and hashes that identify what arrays and tables hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from federated.machine.large_arrays import blocks_of


def description_of(part: Any) -> bytes:
    """The description that complements the bytes: dtype and shape, or a table's columns."""
    if isinstance(part, pd.DataFrame):
        return repr([(str(column), str(dtype)) for column, dtype in part.dtypes.items()]).encode()
    return repr(None if part is None else (str(part.dtype), part.shape)).encode()


def hashes_of(inputs: Any) -> np.ndarray:
    """A 64-bit hash of the inputs of each example, uint64 [N]."""
    if not isinstance(inputs, np.ndarray) or inputs.dtype == object:
        return np.asarray(pd.util.hash_pandas_object(pd.DataFrame(inputs), index=False))
    rows = inputs.reshape(len(inputs), -1)
    hashed = bytearray()
    for some in blocks_of(rows):
        block = np.ascontiguousarray(rows[some])
        block = block + 0.0 if block.dtype.kind == "f" else block  # minus zero is zero
        hashed += b"".join(hashlib.blake2b(row, digest_size=8).digest() for row in block)
    return np.frombuffer(bytes(hashed), np.uint64)


def bytes_of(part: Any) -> Iterator[bytes]:
    """The values, some rows at a time; of a table or of objects, a 64-bit hash of each row."""
    if isinstance(part, np.ndarray) and part.dtype != object:
        yield from (part[rows].tobytes() for rows in blocks_of(part))
    else:
        yield np.asarray(pd.util.hash_pandas_object(pd.DataFrame(part), index=False)).tobytes()
