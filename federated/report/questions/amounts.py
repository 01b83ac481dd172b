"""Amounts of a measure in plain words: points for what lies between 0 and 1, the measure's own unit for the rest."""

from __future__ import annotations

from federated.metrics.names import metric_label, range_of
from federated.metrics.ranges import SHARE
from federated.report.findings.verdicts import Paired
from federated.report.statistics.paired import Interval
from federated.report.text.numbers_as_text import decimals_of, number

_HUNDRED = 100


def measure_label(metric: str) -> str:
    """The measure of a metric of a held-out set, without the set: `accuracy`, `R²`."""
    return metric_label(metric).partition(" ")[2]


def level_text(value: float | None, metric: str) -> str:
    """`0.833`, `12.4`."""
    return number(value, decimals_of(metric, value))


def gain_text(
    value: float, ends: Interval | None, metric: str, level: float | None = None, *, signed: bool = True
) -> str:
    """`+1.2 points [+0.3, +2.1]` where the measure lies between 0 and 1, else `−0.40 [−0.52, −0.28]`.

    level: the value that sets the decimals; the difference itself unless stated. signed: whether a plus is written.
    """
    if range_of(metric) == SHARE:
        points = f"{number(_HUNDRED * value, 1, signed=signed)} points"
        scaled = None if ends is None else Interval(*(_HUNDRED * end for end in ends))
        return points if scaled is None else f"{points} {_ends(scaled, 1, signed=signed)}"
    places = decimals_of(metric, value if level is None else level)
    after = "" if ends is None else _ends(ends, places, signed=signed)
    return f"{number(value, places, signed=signed)} {after}".rstrip()


def difference_text(pair: Paired) -> str:
    """The difference of a comparison; a dash where no seed is shared."""
    return "–" if pair.estimate is None else gain_text(pair.estimate, pair.interval, pair.metric)


def _ends(ends: Interval, places: int, *, signed: bool = True) -> str:
    return f"[{', '.join(number(end, places, signed=signed) for end in ends)}]"
