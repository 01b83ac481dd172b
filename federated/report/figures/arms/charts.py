"""The main figures as interactive charts: Vega-Lite specifications that take their numbers from where the figures do.

A chart reads two parameters that the page sets: `picked`, the arm to stand out, and `hidden`, arms to leave out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from federated.metrics.names import metric_label
from federated.report.costs.front import BEHIND, problems_of, total_megabytes
from federated.report.figures.arms.cost_chart import by_cost
from federated.report.figures.arms.curve_charts import LOG_FROM, by_round, by_seconds, by_uplink
from federated.report.figures.arms.epsilon_chart import MOST_UNITS, by_epsilon
from federated.report.figures.stills import still
from federated.report.figures.vega_looks import DOMINATED, GREY_LINE
from federated.report.figures.vega_spec import (
    PALE,
    PALE_INTERVAL,
    Rows,
    Spec,
    colour_by_arm,
    plain_number,
    spec_of,
    ticks,
    tooltip,
)
from federated.report.findings.by_seed import interval_over_seeds
from federated.report.findings.findings import Report

Maker = Callable[[Report, str], Spec | None]
"""(report, main metric) -> the chart of the arms with that metric; None where it has nothing to show."""
_OF_UNITS: tuple[Maker, ...] = tuple(partial(by_epsilon, place=place) for place in range(MOST_UNITS))
_ALIKE = 1.001
"""Ratio of the largest to the smallest arm's bytes up to which there is nothing to choose between them."""
_RING = 420
"""Size of the ring around the knee."""


def charts(report: Report) -> dict[str, Spec]:
    """Name -> specification, of those that have something to show.

    None where arms have different main metrics: a chart has one axis for scores, while a still picture has a row each.
    """
    metrics = _metrics(report)
    if len(metrics) != 1:
        return {}
    found = {name: make(report, metrics[0]) for name, make in CHARTS.items()}
    return {name: spec for name, spec in found.items() if spec is not None}


def curves_still(report: Report) -> Spec | None:
    """The curves over rounds, bytes and simulated time as a still picture, a row a main metric."""
    return _still(
        report, (by_round, by_uplink, by_seconds), "line: mean over seeds; band: lowest to highest seed"
    )


def front_still(report: Report) -> Spec | None:
    """The chart of the Pareto front as a still picture, a row a main metric."""
    return _still(
        report,
        (_front,),
        "grey line: the Pareto front; ring: its knee; grey mark: dominated; upright: 95 % interval over seeds",
    )


def cost_still(report: Report) -> Spec | None:
    """The chart of scores against money as a still picture, a row a main metric."""
    return _still(report, (by_cost,), "by the bill of one training; upright: 95 % interval over seeds")


def epsilon_still(report: Report) -> Spec | None:
    """The chart of scores against epsilon as a still picture, a row a main metric."""
    return _still(
        report,
        _OF_UNITS,
        "filled: promised at most; open, joined to it: canaries show at least; upright: 95 % interval over seeds",
    )


def _still(report: Report, makers: Sequence[Maker], note: str) -> Spec | None:
    rows = [[make(report, metric) for make in makers] for metric in _metrics(report)]
    return still([[spec for spec in row if spec is not None] for row in rows], note)


def _metrics(report: Report) -> list[str]:
    return list(dict.fromkeys(run.main_metric for run in report.results))


def _front(report: Report, metric: str) -> Spec | None:
    """Score over bytes both ways; the front is joined, its knee ringed, arms surely dominated are grey."""
    rows: Rows = []
    problems = problems_of(report.results)
    for summary in report.arms:
        if summary.arm not in report.places or summary.main_metric != metric:
            continue
        runs = [run for run in report.results if run.arm == summary.arm]
        mean, interval = interval_over_seeds(runs, metric)
        ends = interval or (None, None)
        place = report.places[summary.arm]
        front = None if place in BEHIND else list(problems).index(_first_like(summary.arm, problems))
        row = {
            "arm": summary.arm,
            "score": plain_number(mean),
            "low": plain_number(ends[0]),
            "high": plain_number(ends[1]),
        }
        traffic = {
            "MB": total_megabytes(summary),
            "MB up": summary.uplink_mb.mean,
            "MB down": summary.downlink_mb.mean,
        }
        rows.append({**row, **traffic, "place": place, "front": front})
    amounts = [float(row["MB"]) for row in rows]
    if not amounts or max(amounts) <= _ALIKE * min(amounts):
        return None
    logarithmic = min(amounts) > 0 and max(amounts) / min(amounts) > LOG_FROM
    scale = {"type": "log", "nice": False, "padding": 20} if logarithmic else {"zero": False, "padding": 20}
    along: Spec = {"field": "MB", "type": "quantitative", "scale": scale, "title": "uplink and downlink, MB"}
    if logarithmic:
        along["axis"] = ticks(amounts)
    up = {"type": "quantitative", "scale": {"zero": False, "padding": 12}, "title": metric_label(metric)}
    colour = {
        "condition": {"test": "datum.place === 'dominated'", "value": DOMINATED},
        **colour_by_arm(report.looks),
    }
    tip = [*tooltip(["MB up", "MB down"]), {"field": "place", "title": "front"}]
    layers: list[Spec] = [
        {
            "transform": [{"filter": "isValid(datum.front)"}],
            "mark": {"type": "line", "color": GREY_LINE, "strokeWidth": 1},
            "encoding": {
                "y": {**up, "field": "score"},
                "detail": {"field": "front", "type": "nominal"},
                "color": {"value": GREY_LINE},
                "strokeDash": {"value": [1, 0]},
            },
        },
        {
            "mark": {"type": "rule", "strokeWidth": 1.2},
            "encoding": {
                "y": {**up, "field": "low"},
                "y2": {"field": "high"},
                "color": colour,
                "opacity": PALE_INTERVAL,
            },
        },
        {
            "transform": [{"filter": "datum.place === 'knee'"}],
            "mark": {"type": "point", "size": _RING, "shape": "circle", "filled": False},
            "encoding": {"y": {**up, "field": "score"}, "shape": {"value": "circle"}},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 110},
            "encoding": {"y": {**up, "field": "score"}, "opacity": PALE, "color": colour, "tooltip": tip},
        },
    ]
    if not any(row["place"] == "knee" for row in rows):
        layers = [layer for layer in layers if layer["mark"].get("size") != _RING]
    return spec_of(rows, report.looks, layers, {"x": along})


def _first_like(arm: str, problems: Mapping[str, Any]) -> str:
    return next(other for other, problem in problems.items() if problem == problems[arm])


BY_EPSILON = tuple(f"by-epsilon-{place + 1}" for place in range(MOST_UNITS))
"""Of guarantees of one unit each."""
CHARTS: dict[str, Maker] = {
    "by-round": by_round,
    "by-uplink": by_uplink,
    "by-seconds": by_seconds,
    "front": _front,
    "by-cost": by_cost,
    **dict(zip(BY_EPSILON, _OF_UNITS, strict=True)),
}
