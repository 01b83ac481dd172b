"""Lengths of time in words."""

from __future__ import annotations

import math

from federated.report.comparison import NOTHING, Spread, amount_text

_UNITS = ((120.0, 1.0, "s"), (7200.0, 60.0, "min"), (172_800.0, 3600.0, "h"), (math.inf, 86_400.0, "days"))
"""(up to so many seconds, seconds of the unit, its name)."""


def time_text(seconds: Spread) -> str:
    """`45.2 ± 1.3 s`, `12.4 min`, `3.2 days`; the unit is that of the mean."""
    if seconds.mean is None:
        return NOTHING
    unit, name = unit_of(seconds.mean)
    sd = None if seconds.sd is None else seconds.sd / unit
    return f"{amount_text(Spread(seconds.mean / unit, sd, seconds.count))} {name}"


def unit_of(seconds: float) -> tuple[float, str]:
    """(seconds of the unit, its name) that suits a length of time; days for what is not a number."""
    for limit, unit, name in _UNITS:
        if seconds < limit:
            return unit, name
    return _UNITS[-1][1:]
