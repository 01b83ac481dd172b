"""Numbers as text: the decimals of each metric, three significant digits for amounts, intervals and spreads."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from federated.metrics.dictionary import metric_of

NOTHING = "–"
"""Stands where there is no number."""

_OF_SCORES = 3
"""Decimals of accuracies, R², shares and their differences."""


@dataclass(frozen=True)
class Spread:
    """A quantity over the finished seeds of an arm that have it.

    mean: None without a seed. sd: sample standard deviation (divisor count - 1), None below two seeds.
    """

    mean: float | None
    sd: float | None
    count: int


NONE = Spread(None, None, 0)


def decimals_of(metric: str, value: float | None, main_metric: str = "") -> int:
    """Three decimals for metrics that end at 1 and their differences; for others as many as show three digits.

    main_metric: the metric of which gaps and gains are differences.
    """
    known = metric_of(metric)
    if known is not None and known.difference:
        known = metric_of(main_metric)
    ends_at_one = known is not None and known.ends[1] <= 1
    return _OF_SCORES if ends_at_one else _three_digits(value)


def number(value: float | None, decimals: int | None = None, *, signed: bool = False) -> str:
    """`0.491`, `3.85`, `1,001`, `1.20e+07`, `−0.109`, `NaN`; a dash where there is none.

    decimals: three significant digits unless stated. signed: `+0.012`, and a zero without a sign.
    """
    if value is None:
        return NOTHING
    if math.isnan(value):
        return "NaN"  # which is a finding, and no absence
    places = _three_digits(value) if decimals is None else decimals
    if abs(value) < 0.5 * 10.0**-places:
        return f"{0:.{places}f}"
    sign = "+" if signed else ""
    large = math.isfinite(value) and abs(value) >= 1e7
    text = f"{value:{sign}.2e}" if large else f"{value:{sign},.{places}f}"
    return text.replace("-", "−").replace("inf", "∞") if "e" not in text else text


def interval(ends: tuple[float, float] | None, decimals: int = _OF_SCORES, *, signed: bool = False) -> str:
    """`[0.890, 0.934]`, or nothing."""
    return "" if ends is None else f"[{', '.join(number(end, decimals, signed=signed) for end in ends)}]"


def with_interval(
    value: float | None,
    ends: tuple[float, float] | None,
    decimals: int = _OF_SCORES,
    *,
    signed: bool = False,
) -> str:
    """`0.912 [0.890, 0.934]`; the value alone where there is no interval."""
    if value is None:
        return NOTHING
    return f"{number(value, decimals, signed=signed)} {interval(ends, decimals, signed=signed)}".rstrip()


def spread_text(of: Spread, decimals: int | None = None, *, hide_zero: bool = False) -> str:
    """`0.912 ± 0.008`: mean and standard deviation with the same decimals.

    hide_zero: leave out a deviation of zero, for quantities that do not depend on the seed.
    """
    places = _three_digits(of.mean) if decimals is None else decimals
    mean = number(of.mean, places)
    if of.sd is None or (hide_zero and round(of.sd, places) == 0):
        return mean
    return f"{mean} ± {number(of.sd, places)}"


def amount_text(of: Spread) -> str:
    """`2.00 ± 1.41`, for bytes and times: three significant digits, and no deviation of zero."""
    return spread_text(of, hide_zero=True)


def rounds_text(of: Spread) -> str:
    """`12`, or `12.3 ± 1.5` where seeds differ."""
    return spread_text(of, 1 if of.sd else 0, hide_zero=True)


def _three_digits(value: float | None) -> int:
    if value is None or value == 0 or not np.isfinite(value):
        return 0
    return min(max(2 - math.floor(math.log10(abs(value))), 0), 9)
