"""Every arm's score against the bytes that it sent, with the front of those worth it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from federated.metrics.names import metric_label
from federated.report.costs.front import BEHIND, Place, Problem, pareto, problems_of, total_megabytes
from federated.report.figures.legends import legend_below
from federated.report.figures.style import blank
from federated.report.findings.arms import ArmSummary, compare
from federated.report.findings.by_seed import interval_over_seeds
from federated.report.findings.results import RunResult
from federated.report.findings.strokes import GREY, Stroke, arm_strokes
from federated.report.statistics.paired import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_PALE = "#c4c4c4"
_LOG_FROM = 5.0


def pareto_picture(results: Sequence[RunResult]) -> Figure | None:
    """Mean score over mean bytes both ways, one row of panels a main metric; None where all arms sent the same.

    Arms of the front are joined, one line a problem; the knee has a ring; arms that are dominated
    by more than chance are grey.
    """
    summaries, problems = compare(results), problems_of(results)
    places = pareto(summaries, problems)
    shown = [summary for summary in summaries if summary.arm in places]
    if len({total_megabytes(summary) for summary in shown}) < 2:
        return None
    metrics = list(dict.fromkeys(summary.main_metric for summary in shown))
    figure, panels = blank(10.5, 3.7 * len(metrics) + 0.1 * len(shown), rows=len(metrics))
    looks = arm_strokes(results)
    intervals = {
        summary.arm: interval_over_seeds(
            [run for run in results if run.arm == summary.arm], summary.main_metric
        )[1]
        for summary in shown
    }
    dots: dict[str, Line2D] = {}
    for panel, metric in zip(panels[:, 0], metrics, strict=True):
        points = _points([summary for summary in shown if summary.main_metric == metric])
        _join_fronts(panel, points, places, problems)
        dots |= _draw(panel, points, places, looks, intervals)
        _bytes_axis(panel, [x for x, _ in points.values()])
        panel.set_ylabel(metric_label(metric))
    legend_below(
        figure,
        dots,
        "joined: the front; ring: its knee; grey: dominated, intervals apart; line: 95 % over seeds",
    )
    return figure


def _points(summaries: Sequence[ArmSummary]) -> dict[str, tuple[float, float]]:
    """Arm -> (MB, score)."""
    return {s.arm: (float(total_megabytes(s) or 0.0), float(s.score.mean or 0.0)) for s in summaries}


def _join_fronts(
    panel: Axes,
    points: dict[str, tuple[float, float]],
    places: dict[str, Place],
    problems: dict[str, Problem],
) -> None:
    """A grey line along the front of each problem."""
    for problem in dict.fromkeys(problems[arm] for arm in points):
        front = [points[a] for a in points if problems[a] == problem and places[a] not in BEHIND]
        panel.plot(*zip(*sorted(front), strict=True), color=GREY, lw=0.9, zorder=1.5)


def _draw(
    panel: Axes,
    points: dict[str, tuple[float, float]],
    places: dict[str, Place],
    looks: dict[str, Stroke],
    intervals: dict[str, Interval | None],
) -> dict[str, Line2D]:
    """A dot an arm; the artists, for the legend."""
    dots: dict[str, Line2D] = {}
    for arm, (x, y) in points.items():
        dominated = places[arm] == "dominated"
        colour = _PALE if dominated else looks[arm].colour
        style: dict[str, Any] = {"color": colour, "ms": 8, "mec": "white", "mew": 0.6, "ls": "none"}
        if (interval := intervals[arm]) is not None:
            panel.plot((x, x), tuple(interval), color=colour, lw=1.0, alpha=0.45, zorder=1.8)
        (dots[arm],) = panel.plot(x, y, looks[arm].marker, zorder=2 if places[arm] in BEHIND else 3, **style)
        if places[arm] == "knee":
            panel.plot(x, y, "o", ms=15, mfc="none", mec=colour, mew=1.3)
    return dots


def _bytes_axis(panel: Axes, megabytes: Sequence[float]) -> None:
    """Logarithmic where arms differ a lot."""
    logarithmic = min(megabytes) > 0 and max(megabytes) / min(megabytes) > _LOG_FROM
    if logarithmic:
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter("{x:g}")
    panel.margins(x=0.08, y=0.15)
    panel.set_xlabel(f"uplink and downlink, MB{' (logarithmic)' if logarithmic else ''}")
