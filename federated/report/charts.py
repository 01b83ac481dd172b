"""The main figures as interactive charts: Vega-Lite specifications that take their numbers from where the figures do.

A chart reads two parameters that the page sets: `picked`, the arm to stand out, and `hidden`, arms to leave out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from federated.report.arm_curves import LOG_FROM, MeanCurve, mean_curves
from federated.report.by_seed import interval_over_seeds
from federated.report.pareto import problems_of, total_megabytes
from federated.report.report import Report
from federated.report.results import DOWNLINK, SIMULATED_SECONDS, RunResult, candidates
from federated.report.style import Stroke, metric_label
from federated.report.vega_looks import CONFIG, DOMINATED, GREY_LINE, as_dash, as_shape

Spec = dict[str, Any]
Rows = list[dict[str, Any]]

_RING = 420
_PARAMETERS = [{"name": "picked", "value": ""}, {"name": "hidden", "value": []}]
_SHOWN = {"filter": "indexof(hidden, datum.arm) < 0"}
_PALE = {"condition": {"test": "picked === '' || picked === datum.arm", "value": 1}, "value": 0.1}
_PALE_INTERVAL = {"condition": {"test": "picked === datum.arm", "value": 1}, "value": 0.3}
_PALE_BAND = {"condition": {"test": "picked === datum.arm", "value": 0.22}, "value": 0.06}


def charts(report: Report) -> dict[str, Spec]:
    """Name -> specification, of those that have something to show."""
    found = {name: make(report) for name, make in CHARTS.items()}
    return {name: spec for name, spec in found.items() if spec is not None}


def _by_round(report: Report) -> Spec | None:
    return _curves(report, "round", "round", logarithmic=False)


def _by_uplink(report: Report) -> Spec | None:
    totals = [arm.uplink_mb.mean for arm in report.arms if arm.uplink_mb.mean]
    if not totals:
        return None
    return _curves(report, "MB up", "cumulative uplink, MB", logarithmic=max(totals) / min(totals) > LOG_FROM)


def _by_seconds(report: Report) -> Spec | None:
    if all(run.final(SIMULATED_SECONDS) is None for run in report.results):
        return None
    return _curves(report, "simulated s", "simulated time, s", logarithmic=True)


def _curves(report: Report, x: str, title: str, *, logarithmic: bool) -> Spec | None:
    """The means of all arms with the study's first main metric, and the range of their seeds."""
    metric = report.results[0].main_metric if report.results else ""
    runs = [run for run in candidates(report.results) if run.main_metric == metric]
    rows = [row for arm, curve in mean_curves(runs).items() for row in _curve_rows(arm, curve, runs)]
    rows = [row for row in rows if row[x] is not None and (row[x] > 0 or not logarithmic)]
    if not rows:
        return None
    scale = {"type": "log", "nice": False} if logarithmic else {"zero": not logarithmic}
    along: Spec = {"field": x, "type": "quantitative", "scale": scale, "title": title}
    if logarithmic:
        along["title"] += " (logarithmic)"
        along["axis"] = _ticks([row[x] for row in rows])
    up = {"type": "quantitative", "scale": {"zero": False}, "title": metric_label(metric)}
    tip = _tooltip(
        [x for x in ("round", "MB up", "MB down", "simulated s") if any(r[x] is not None for r in rows)]
    )
    layers: list[Spec] = [
        {
            "mark": {"type": "area", "interpolate": "linear"},
            "encoding": {"y": {**up, "field": "low"}, "y2": {"field": "high"}, "opacity": _PALE_BAND},
        },
        {
            "mark": {"type": "line", "strokeWidth": 1.8},
            "encoding": {"y": {**up, "field": "score"}, "opacity": _PALE},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 45},
            "encoding": {"y": {**up, "field": "score"}, "opacity": _PALE, "tooltip": tip},
        },
    ]
    return _spec(rows, report.looks, [*layers, *_anchor_lines(report, metric, up)], {"x": along})


def _anchor_lines(report: Report, metric: str, up: Spec) -> list[Spec]:
    """What centralised and local training end with, as lines across the chart."""
    arms = dict.fromkeys(run.arm for run in report.results if run.anchor and run.main_metric == metric)
    ends = {
        arm: interval_over_seeds([run for run in report.results if run.arm == arm], metric)[0] for arm in arms
    }
    return [
        {
            "data": {"values": [{"arm": arm, "score": _plain(end)}]},
            "transform": [_SHOWN],
            "mark": {"type": "rule", "strokeWidth": 1.2},
            "encoding": {
                "x": None,
                "y": {**up, "field": "score"},
                "color": {"value": report.looks[arm].colour},
                "strokeDash": {"value": as_dash(report.looks[arm].line)},
                "tooltip": [{"field": "arm"}, {"field": "score", "format": ".4~f"}],
            },
        }
        for arm, end in ends.items()
        if end is not None
    ]


def _curve_rows(arm: str, curve: MeanCurve, runs: Sequence[RunResult]) -> Rows:
    mine = [run for run in runs if run.arm == arm and run.finished]
    down = np.mean([run.megabytes(DOWNLINK, curve.rounds) for run in mine], axis=0)
    seconds = np.mean([run.so_far(SIMULATED_SECONDS, curve.rounds) for run in mine], axis=0)
    columns = {
        "round": curve.rounds,
        "score": curve.mean,
        "low": curve.lowest,
        "high": curve.highest,
        "MB up": curve.mb,
        "MB down": down,
        "simulated s": seconds,
    }
    return [
        {"arm": arm, **{name: _plain(values[at]) for name, values in columns.items()}}
        for at in range(len(curve.rounds))
    ]


def _front(report: Report) -> Spec | None:
    """Score over bytes both ways; the front is joined, its knee ringed, dominated arms are grey."""
    metric = report.results[0].main_metric if report.results else ""
    rows: Rows = []
    problems = problems_of(report.results)
    for summary in report.arms:
        if summary.arm not in report.places or summary.main_metric != metric:
            continue
        runs = [run for run in report.results if run.arm == summary.arm]
        mean, interval = interval_over_seeds(runs, metric)
        ends = interval or (None, None)
        place = report.places[summary.arm]
        front = None if place == "dominated" else list(problems).index(_first_like(summary.arm, problems))
        row = {"arm": summary.arm, "score": _plain(mean), "low": _plain(ends[0]), "high": _plain(ends[1])}
        traffic = {
            "MB": total_megabytes(summary),
            "MB up": summary.uplink_mb.mean,
            "MB down": summary.downlink_mb.mean,
        }
        rows.append({**row, **traffic, "place": place, "front": front})
    amounts = [float(row["MB"]) for row in rows]
    if len(set(amounts)) < 2:
        return None
    logarithmic = min(amounts) > 0 and max(amounts) / min(amounts) > LOG_FROM
    scale = {"type": "log", "nice": False, "padding": 20} if logarithmic else {"zero": False, "padding": 20}
    along: Spec = {"field": "MB", "type": "quantitative", "scale": scale, "title": "uplink and downlink, MB"}
    if logarithmic:
        along["axis"] = _ticks(amounts)
    up = {"type": "quantitative", "scale": {"zero": False, "padding": 12}, "title": metric_label(metric)}
    colour = {
        "condition": {"test": "datum.place === 'dominated'", "value": DOMINATED},
        **_colour(report.looks),
    }
    tip = [*_tooltip(["MB up", "MB down"]), {"field": "place", "title": "front"}]
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
                "opacity": _PALE_INTERVAL,
            },
        },
        {
            "transform": [{"filter": "datum.place === 'knee'"}],
            "mark": {"type": "point", "size": _RING, "shape": "circle", "filled": False},
            "encoding": {"y": {**up, "field": "score"}, "shape": {"value": "circle"}},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 110},
            "encoding": {"y": {**up, "field": "score"}, "opacity": _PALE, "color": colour, "tooltip": tip},
        },
    ]
    if not any(row["place"] == "knee" for row in rows):
        layers = [layer for layer in layers if layer["mark"].get("size") != _RING]
    return _spec(rows, report.looks, layers, {"x": along})


def _first_like(arm: str, problems: Mapping[str, Any]) -> str:
    return next(other for other, problem in problems.items() if problem == problems[arm])


def _spec(rows: Rows, looks: Mapping[str, Stroke], layers: list[Spec], encoding: Spec) -> Spec:
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    dashes = {"domain": arms, "range": [as_dash(looks[arm].line) for arm in arms]}
    shapes = {"domain": arms, "range": [as_shape(looks[arm].marker) for arm in arms]}
    styles = {
        "color": _colour(looks),
        "strokeDash": {"field": "arm", "type": "nominal", "scale": dashes, "legend": None},
        "shape": {"field": "arm", "type": "nominal", "scale": shapes, "legend": None},
    }
    kinds = {"line": ("color", "strokeDash"), "point": ("color", "shape")}
    for layer in layers:
        wanted = {name: styles[name] for name in kinds.get(layer["mark"]["type"], ("color",))}
        layer["encoding"] = {**wanted, **layer["encoding"]}
    return {
        "width": "container",
        "height": 340,
        "autosize": {"type": "fit", "contains": "padding"},
        "params": _PARAMETERS,
        "data": {"values": rows},
        "transform": [_SHOWN],
        "encoding": encoding,
        "layer": layers,
        "config": CONFIG,
    }


def _colour(looks: Mapping[str, Stroke]) -> Spec:
    scale = {"domain": list(looks), "range": [look.colour for look in looks.values()]}
    return {"field": "arm", "type": "nominal", "scale": scale, "legend": None}


def _tooltip(amounts: Sequence[str]) -> list[Spec]:
    ends = [{"field": "low", "format": ".4~f"}, {"field": "high", "format": ".4~f"}]
    score = [{"field": "score", "format": ".4~f"}, *ends]
    return [
        {"field": "arm"},
        *score,
        *({"field": name, "format": ".4~g", "title": name} for name in amounts),
    ]


def _ticks(values: Sequence[float]) -> Spec:
    """1, 2 and 5 times powers of ten: what a logarithmic axis can be read by."""
    lowest, highest = np.floor(np.log10(min(values))), np.ceil(np.log10(max(values)))
    powers = 10.0 ** np.arange(lowest, highest + 1)
    steps = (1, 2, 5) if highest - lowest <= 3 else (1,)
    return {"format": "~g", "values": [float(f"{step * power:.6g}") for power in powers for step in steps]}


def _plain(value: Any) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


CHARTS: dict[str, Callable[[Report], Spec | None]] = {
    "by-round": _by_round,
    "by-uplink": _by_uplink,
    "by-seconds": _by_seconds,
    "front": _front,
}
