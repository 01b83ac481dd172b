"""Reading the content of a payload that may be hostile: nothing is read that is not there."""

from __future__ import annotations

import numpy as np


class PayloadError(ValueError):
    """A payload is truncated, corrupted or not for this model."""


def expect_bytes(content: memoryview, expected: int) -> None:
    """Raise `PayloadError` unless the content has exactly the expected length."""
    if len(content) != expected:
        raise PayloadError(f"payload content has {len(content)} bytes, expected {expected}")


def taken(content: memoryview, count: int) -> tuple[memoryview, memoryview]:
    """(the first `count` bytes, the rest). Raises `PayloadError` where there are fewer."""
    if len(content) < count:
        raise PayloadError(f"payload content ends after {len(content)} bytes, {count} expected here")
    return content[:count], content[count:]


def scales_of(content: memoryview, count: int) -> tuple[np.ndarray, memoryview]:
    """(`count` 32-bit floats that are finite and not negative, the rest). Raises `PayloadError`."""
    head, rest = taken(content, 4 * count)
    scales = np.frombuffer(head, "<f4")
    if not (np.isfinite(scales) & (scales >= 0)).all():
        raise PayloadError("payload holds a scale that no encoder writes")
    return scales, rest
