"""Each arm's score against cumulative cost: bytes in both directions, and simulated time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from federated.metrics.durations import unit_of
from federated.metrics.names import metric_label
from federated.report.figures.arms.mean_curves import MeanCurve, mean_curves
from federated.report.figures.legends import Facet, facets, handles_of, keys, legend_below, legend_height
from federated.report.figures.style import blank, logarithmic_x, plain, say
from federated.report.findings.results import DOWNLINK, SIMULATED_SECONDS, UPLINK, RunResult
from federated.report.findings.strokes import Stroke, arm_strokes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 10.5
_PANEL_HEIGHT = 3.1
_MOST_BANDS = 12
_MOST_MARKERS = 8


def cost_curves(results: Sequence[RunResult]) -> Figure:
    """Every arm's main metric against cumulative MB, both ways, and where a network is stated against time.

    A row of panels a facet, both axes logarithmic: what comes first matters most. Line: mean over the finished seeds;
    band, up to 12 arms a panel: lowest to highest seed.
    """
    groups = facets([run for run in results if run.finished and run.final(run.main_metric) is not None])
    looks = arm_strokes(results)
    named = keys(groups, looks)
    clocked = any(run.final(SIMULATED_SECONDS) is not None for run in results)
    height = _PANEL_HEIGHT * max(len(groups), 1) + legend_height(list(named), _WIDTH)
    figure, panels = blank(
        _WIDTH, height, rows=max(len(groups), 1), columns=2 if clocked else 1, sharex="col", sharey="row"
    )
    unit, name = unit_of(_longest(results))
    for row, group in zip(panels, groups, strict=False):
        _draw(row, group, looks, unit)
        row[0].set_ylabel(metric_label(group.runs[0].main_metric))
        row[0].set_title(plain(group.title), loc="left", fontsize=9)
    for panel, label in zip(
        panels[-1], ("cumulative MB, up and down", f"simulated time, {name}"), strict=False
    ):
        panel.set_xlabel(f"{label} (logarithmic, without the initial model)")
    if not groups:
        say(panels[0, 0], "no finished run")
    legend_below(figure, handles_of(named), "line: mean over seeds; band: lowest to highest seed")
    return figure


def _longest(results: Sequence[RunResult]) -> float:
    """The simulated seconds of the longest run."""
    return max((run.final(SIMULATED_SECONDS) or 0.0 for run in results), default=0.0)


def _draw(row: Sequence[Axes], group: Facet, looks: dict[str, Stroke], unit: float) -> None:
    banded = len(group.labels) <= _MOST_BANDS
    for arm, curve in mean_curves(group.runs).items():
        runs = [run for run in group.runs if run.arm == arm]
        costs = (
            np.mean(
                [run.megabytes(UPLINK, curve.rounds) + run.megabytes(DOWNLINK, curve.rounds) for run in runs],
                axis=0,
            ),
            np.mean([run.so_far(SIMULATED_SECONDS, curve.rounds) for run in runs], axis=0) / unit,
        )
        for panel, cost in zip(row, costs, strict=False):
            _line(panel, cost, curve, looks[arm], banded=banded)
    for panel in row:
        _logarithmic(panel)


def _line(panel: Axes, cost: np.ndarray, curve: MeanCurve, look: Stroke, *, banded: bool) -> None:
    """A line. The initial model cost nothing and so has no place on a logarithmic axis."""
    sent = cost > 0
    if banded and curve.num_seeds > 1:
        panel.fill_between(
            cost[sent], curve.lowest[sent], curve.highest[sent], color=look.colour, alpha=0.09, lw=0
        )
    every = max(1, len(cost) // _MOST_MARKERS)
    panel.plot(
        *(cost[sent], curve.mean[sent]),
        color=look.colour,
        ls=look.line,
        marker=look.marker,
        markevery=every,
        ms=3.5,
        lw=1.3,
    )


def _logarithmic(panel: Axes) -> None:
    costs = np.concatenate([np.asarray(line.get_xdata(), np.float64) for line in panel.get_lines()])
    if len(costs):
        logarithmic_x(panel, costs.min(), costs.max())
