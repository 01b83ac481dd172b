"""Scores against epsilon: what is promised of privacy, what it costs, and how much canaries show of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from federated.metrics.names import metric_label
from federated.report.costs.front import OF_EXAMPLES, UNCOVERED, problems_of, units_of
from federated.report.figures.vega_looks import GREY_LINE
from federated.report.figures.vega_spec import (
    PALE,
    PALE_INTERVAL,
    Rows,
    Spec,
    plain_number,
    spec_of,
    ticks,
    tooltip,
)
from federated.report.findings.by_seed import interval_over_seeds
from federated.report.findings.findings import Report
from federated.report.questions.epsilons import LEAST_SHOWN, Epsilons, epsilons, promise_text

_DECADES_BELOW = 2.0
"""Powers of ten below the smallest promise at which the axis begins."""


MOST_UNITS = 3
"""Units of guarantees that have a chart: clients, updates and examples."""


def by_epsilon(report: Report, metric: str, place: int = 0) -> Spec | None:
    """A main metric against epsilon, a filled mark where it is promised and an open one where canaries show it.

    None where no arm with this metric promises anything. The axis is logarithmic; arms without a promise, or whose
    scores are of clients' own models, which it does not cover, stand at its right end, infinity, and what canaries show
    of less than its left end stands there. Epsilons of different units are no steps of one scale: each unit has a chart
    of its arms and those that promise nothing, and this is the one in that place, the unit that most have first.
    """
    found = {each.arm: each for each in epsilons(report.results)}
    units = units_of(report.results)
    arms = [
        summary.arm
        for summary in report.arms
        if summary.main_metric == metric and not summary.anchor and summary.score.mean is not None
    ]
    of_own = [arm for arm in arms if units[arm] == UNCOVERED]
    promised = [arm for arm in arms if arm in found and found[arm].upper is not None and arm not in of_own]
    by_arms = [unit for unit, _ in Counter(units[arm] for arm in promised).most_common(MOST_UNITS)]
    if place >= len(by_arms):
        return None
    unit = by_arms[place]
    shown = [arm for arm in arms if units[arm] in (unit, "", UNCOVERED)]
    drawn = {arm: found[arm] for arm in shown if arm in found and arm not in of_own}
    if unit.startswith(OF_EXAMPLES):  # canaries are whole clients, and show nothing of one example
        drawn = {arm: each.without_canaries for arm, each in drawn.items()}
    ends = _ends(list(drawn.values()))
    rows = [_row(report, arm, metric, drawn.get(arm), ends, of_own=arm in of_own) for arm in shown]
    of = unit if len(by_arms) > 1 else ""
    return _chart(report, rows, metric, ends, of)


def _ends(found: list[Epsilons]) -> tuple[float, float]:
    """The ends of the axis: of what is too small to draw, and of infinity."""
    uppers = [each.upper or LEAST_SHOWN for each in found if each.upper is not None]
    largest = max([*uppers, *(shown for each in found if (shown := each.largest_lower))])
    least, most = np.floor(np.log10(min(uppers))) - _DECADES_BELOW, np.ceil(np.log10(largest)) + 0.5
    return float(10**least), float(10**most)


def _row(
    report: Report,
    arm: str,
    metric: str,
    found: Epsilons | None,
    ends: tuple[float, float],
    *,
    of_own: bool,
) -> dict[str, Any]:
    runs = [run for run in report.results if run.arm == arm]
    mean, interval = interval_over_seeds(runs, metric)
    low, high = interval or (None, None)
    upper = found.upper if found else None
    lower = found.largest_lower if found else None
    return {
        "arm": arm,
        "score": plain_number(mean),
        "low": plain_number(low),
        "high": plain_number(high),
        "epsilon": ends[1] if upper is None else max(upper, ends[0]),
        "shown": None if lower is None else max(lower, ends[0]),
        "promised at most": UNCOVERED if of_own else "nothing" if upper is None else promise_text(upper),
        "canaries show at least": "not measured" if found is None or lower is None else f"{lower:.3g}",
        "problem": str(problems_of(runs)[arm]),
    }


def _short(unit: str) -> str:
    """A unit without its conditions: `one client's updates there or not`."""
    return unit.split(",")[0].split("(")[0].strip()


def _chart(report: Report, rows: Rows, metric: str, ends: tuple[float, float], unit: str) -> Spec:
    """unit: what the axis says that its epsilon is of; empty where no other is in the report."""
    scale = {"type": "log", "domain": [ends[0], ends[1]], "nice": False, "padding": 12}
    values = [*(value for value in ticks(list(ends))["values"] if ends[0] <= value < ends[1]), ends[1]]
    least = f"(datum.value < {2 * ends[0]:g} ? '≤ ' : '')"
    axis = {
        "values": values,
        "labelExpr": f"datum.value > {ends[1] / 2:g} ? '∞' : {least} + format(datum.value, '~g')",
        "labelOverlap": False,
        "tickCount": 10 * len(values),
    }
    title = ["epsilon (logarithmic; ∞: nothing is promised)", *([f"of {_short(unit)}"] if unit else [])]
    along: Spec = {"field": "epsilon", "type": "quantitative", "scale": scale, "axis": axis, "title": title}
    up: Spec = {
        "type": "quantitative",
        "scale": {"zero": False, "padding": 12},
        "title": metric_label(metric),
    }
    score, measured = {**up, "field": "score"}, [{"filter": "isValid(datum.shown)"}]
    tip = [*tooltip([]), {"field": "promised at most"}, {"field": "canaries show at least"}]
    layers: list[Spec] = [
        {
            "mark": {"type": "line", "color": GREY_LINE, "strokeWidth": 1},
            "encoding": {
                "y": score,
                "detail": {"field": "problem", "type": "nominal"},
                "color": {"value": GREY_LINE},
                "strokeDash": {"value": [1, 0]},
            },
        },
        {
            "mark": {"type": "rule", "strokeWidth": 1.6},
            "encoding": {"y": {**up, "field": "low"}, "y2": {"field": "high"}, "opacity": PALE},
        },
        {
            "transform": measured,
            "mark": {"type": "rule", "strokeWidth": 1.2},
            "encoding": {"x": {**along, "field": "shown"}, "x2": {"field": "epsilon"}, "y": score}
            | {"opacity": PALE_INTERVAL},
        },
        {
            "transform": measured,
            "mark": {"type": "point", "filled": False, "size": 80},
            "encoding": {"x": {**along, "field": "shown"}, "y": score, "opacity": PALE, "tooltip": tip},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 110},
            "encoding": {"y": score, "opacity": PALE, "tooltip": tip},
        },
    ]
    return spec_of(rows, report.looks, layers, {"x": along})
