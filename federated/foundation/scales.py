"""Checks that a number which scales a model's parameters fits in 32-bit floating point."""

from __future__ import annotations

import math

LARGEST_FLOAT = 3.4e38
"""32 bits hold a hair more."""


def check_scale(name: str, value: float, *, zero: bool = False) -> None:
    """Raise ValueError, naming the argument, where a number is not above 0 (zero: nor 0), or more than 32 bits hold."""
    if not (0 < value < math.inf or (zero and value == 0)):
        raise ValueError(f"{name} must be a finite number {'>= 0' if zero else '> 0'}, got {value}")
    if value > LARGEST_FLOAT:
        raise ValueError(
            f"{name} must be at most {LARGEST_FLOAT:.2g}, as parameters have 32 bits, got {value}"
        )
