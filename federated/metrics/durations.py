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


def estimate(
    seconds: float, low: float | None = None, high: float | None = None, longest: float | None = None
) -> str:
    """`1.1 min (0.55 to 21 min)`: a time and its range in one unit; without the range where an end is not known.

    longest: of all times that share the unit, these too; unless stated, of these.
    """
    longest = max(seconds, high or 0.0, longest or 0.0)
    if low is None or high is None:
        return duration(seconds, longest)
    unit, name = unit_of(longest)
    return f"{duration(seconds, longest)} ({_figure(low / unit)} to {_figure(high / unit)} {name})"


def duration(seconds: float | None, longest: float | None = None) -> str:
    """`42 s`, `3.5 min`, `12 h`; a dash where there is none. longest: of the times that share its unit, itself too."""
    if seconds is None:
        return "–"
    unit, name = unit_of(seconds if longest is None else longest)
    return f"{_figure(seconds / unit)} {name}"


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 9.95 else f"{value:.2g}"
