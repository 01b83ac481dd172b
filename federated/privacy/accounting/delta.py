"""The delta of a guarantee: its default, and what a large one allows."""

from __future__ import annotations

_EXPONENT = -1.1
"""Of N, in the delta of a study that states none."""
NOTABLE_DELTA = 0.01
"""Above it a guarantee says little, whatever its epsilon is."""


_OF_UPDATES = 1e-5
"""The most that a study that states none allows where the guarantee is of a client's own update: it does not hide among
N clients, so a small N is no reason for a large one."""


def default_delta(num_units: int, unit: str = "client") -> float:
    """N^-1.1, below 1/N, or what is allowed for an update.

    Raises ValueError for a single one, of which it would be 1 and any mechanism would keep it.
    """
    if unit == "update":
        return min(_OF_UPDATES, float(num_units**_EXPONENT))
    if num_units < 2:
        raise ValueError(
            f"it is not stated, and N^-1.1 of N = {num_units} is 1, which nothing breaks; state delta, such as 1e-5"
        )
    return float(num_units**_EXPONENT)


def large_delta(delta: float, of: int, unit: str) -> str:
    """What a delta of 1/N or more allows."""
    return (
        f"{delta:.3g} is not below 1/N = {1 / of:.3g}, so to publish one of {of:,} {unit}s, drawn at random, would "
        "keep the guarantee"
    )


def notable_delta(delta: float, of: int, unit: str) -> str:
    """What a delta below 1/N allows that is still large, as it is where N is small."""
    return (
        f"{delta:.3g}, of {of:,} {unit}s, means little: to publish all of each {unit} with this probability, of one in "
        f"{1 / delta:,.0f}, would keep the guarantee, even at epsilon 0"
    )
