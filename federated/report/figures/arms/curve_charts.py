"""Arms over rounds, bytes and simulated time as interactive charts; anchors are lines across them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from federated.foundation.texts import in_a_line
from federated.metrics.names import metric_label
from federated.report.figures.arms.mean_curves import MeanCurve, mean_curves
from federated.report.figures.vega_looks import as_dash
from federated.report.figures.vega_spec import (
    PALE,
    PALE_BAND,
    SHOWN,
    Rows,
    Spec,
    plain_number,
    spec_of,
    ticks,
    tooltip,
)
from federated.report.findings.by_seed import interval_over_seeds
from federated.report.findings.findings import Report
from federated.report.findings.results import DOWNLINK, SIMULATED_SECONDS, RunResult, candidates

_MOST_POINTS = 300
"""Of a curve, evenly spread over more evaluations than a chart has dots for; first and last are among them."""
LOG_FROM = 5.0
"""Ratio of the largest to the smallest arm's total bytes from which their axis is logarithmic."""
_LEAST_APART = 0.035
"""Share of the axis below which the names of two anchors would cover each other."""


def by_round(report: Report, metric: str) -> Spec | None:
    """A main metric against rounds; None where no arm with it has a finished run."""
    return _curves(report, metric, "round", "round", logarithmic=False)


def by_uplink(report: Report, metric: str) -> Spec | None:
    """Against the bytes sent to the server; None where none were counted."""
    totals = [arm.uplink_mb.mean for arm in report.arms if arm.main_metric == metric and arm.uplink_mb.mean]
    if not totals:
        return None
    differ = max(totals) / min(totals) > LOG_FROM
    return _curves(report, metric, "MB up", "cumulative uplink, MB", logarithmic=differ)


def by_seconds(report: Report, metric: str) -> Spec | None:
    """Against simulated time; None where no network is stated."""
    if all(run.final(SIMULATED_SECONDS) is None for run in report.results):
        return None
    return _curves(report, metric, "simulated s", "simulated time, s", logarithmic=True)


def _curves(report: Report, metric: str, x: str, title: str, *, logarithmic: bool) -> Spec | None:
    """The means of all arms with this main metric, and the range of their seeds."""
    runs = [run for run in candidates(report.results) if run.main_metric == metric]
    rows = [row for arm, curve in mean_curves(runs).items() for row in _curve_rows(arm, curve, runs)]
    rows = [row for row in rows if row[x] is not None and (row[x] > 0 or not logarithmic)]
    if not rows:
        return None
    scale = {"type": "log", "nice": False} if logarithmic else {"zero": not logarithmic}
    along: Spec = {"field": x, "type": "quantitative", "scale": scale, "title": title}
    if logarithmic:
        along["title"] += " (logarithmic, without the initial model)"
        along["axis"] = ticks([row[x] for row in rows])
    anchors = _anchor_ends(report, metric)
    up = _score_axis(metric, rows, list(anchors.values()))
    tip = tooltip(
        [x for x in ("round", "MB up", "MB down", "simulated s") if any(r[x] is not None for r in rows)]
    )
    layers: list[Spec] = [
        {
            "mark": {"type": "area", "interpolate": "linear"},
            "encoding": {"y": {**up, "field": "low"}, "y2": {"field": "high"}, "opacity": PALE_BAND},
        },
        {
            "mark": {"type": "line", "strokeWidth": 1.8},
            "encoding": {"y": {**up, "field": "score"}, "opacity": PALE},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 45},
            "encoding": {"y": {**up, "field": "score"}, "opacity": PALE, "tooltip": tip},
        },
    ]
    layers += _anchor_lines(report, anchors, up)
    layers += _anchor_names(anchors, rows, up)
    if "domainMin" in up["scale"]:
        for layer in layers:
            layer["mark"]["clip"] = layer["mark"]["type"] != "text"
    return spec_of(rows, report.looks, layers, {"x": along})


def _score_axis(metric: str, rows: Rows, anchors: Sequence[float]) -> Spec:
    """Cut at -1 for R²: it has no lower end, and a poor start or anchor would flatten the rest."""
    up: Spec = {"type": "quantitative", "scale": {"zero": False}, "title": metric_label(metric)}
    ends = [*anchors, *(row[end] for row in rows for end in ("low", "high") if row[end] is not None)]
    if metric.endswith("r2") and ends and min(ends) < -1 < max(ends):
        up["scale"]["domainMin"] = -1
        up["title"] += " (axis cut at −1)"
    return up


def _anchor_ends(report: Report, metric: str) -> dict[str, float]:
    """The mean final values of centralised and local training with this main metric."""
    arms = dict.fromkeys(run.arm for run in report.results if run.anchor and run.main_metric == metric)
    ends = {
        arm: interval_over_seeds([run for run in report.results if run.arm == arm], metric)[0] for arm in arms
    }
    return {arm: end for arm, end in ends.items() if end is not None and np.isfinite(end)}


def _anchor_names(ends: dict[str, float], rows: Rows, up: Spec) -> list[Spec]:
    """The anchors' names at the left end of their lines; lines that lie too close share one place."""
    scores = [*ends.values(), *(row["score"] for row in rows if row["score"] is not None)]
    lowest = up["scale"].get("domainMin", min(scores))
    places: list[tuple[float, list[str]]] = []
    for arm, end in sorted(ends.items(), key=lambda each: each[1]):
        if end < lowest:
            continue  # below the cut: its number is in the table alone
        if places and end - places[-1][0] < _LEAST_APART * (max(scores) - lowest):
            places[-1][1].append(arm)
        else:
            places.append((end, [arm]))
    named = [{"arm": arms[0], "score": end, "name": in_a_line("; ".join(arms))} for end, arms in places]
    if not named:
        return []
    encoding = {
        "x": {"value": 3},
        "y": {**up, "field": "score"},
        "text": {"field": "name"},
        "color": {"value": "#444444"},
    }
    mark = {"type": "text", "align": "left", "baseline": "bottom", "fontSize": 10, "dy": -1}
    return [{"data": {"values": named}, "transform": [SHOWN], "mark": mark, "encoding": encoding}]


def _anchor_lines(report: Report, ends: dict[str, float], up: Spec) -> list[Spec]:
    """The final values of the anchors, as lines across the chart."""
    return [
        {
            "data": {"values": [{"arm": arm, "score": plain_number(end)}]},
            "transform": [SHOWN],
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
    kept = np.unique(np.linspace(0, len(curve.rounds) - 1, _MOST_POINTS).round().astype(int))
    return [
        {"arm": arm, **{name: plain_number(values[at]) for name, values in columns.items()}}
        for at in (kept if len(curve.rounds) > _MOST_POINTS else range(len(curve.rounds)))
    ]
