"""Durations in a readable unit."""

from __future__ import annotations

_UNITS = ((120.0, 1.0, "s"), (7200.0, 60.0, "min"), (172_800.0, 3600.0, "h"))
"""(up to so many seconds, seconds of the unit, its name); beyond them days."""


def unit_of(longest: float) -> tuple[float, str]:
    """(seconds of the unit, its name) for times of which the longest is so many seconds."""
    for limit, unit, name in _UNITS:
        if longest < limit:
            return unit, name
    return 86_400.0, "days"


def between(low: float | None, high: float | None) -> str:
    """`40 to 60 s`; nothing where an end is not known."""
    if low is None or high is None:
        return ""
    unit, name = unit_of(high)
    ends = [f"{value / unit:.0f}" if value / unit >= 10 else f"{value / unit:.2g}" for value in (low, high)]
    return f"{ends[0]} to {ends[1]} {name}"


def duration(seconds: float | None) -> str:
    """`42 s`, `3.5 min`, `12 h`; a dash where there is none."""
    if seconds is None:
        return "–"
    unit, name = unit_of(seconds)
    value = seconds / unit
    return f"{value:.0f} {name}" if value >= 10 else f"{value:.2g} {name}"
