"""The score of every arm against the compression ratio of its uplink."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from federated.metrics.names import metric_label
from federated.report.figures.legends import Facet, facets, handles_of, keys, legend_below, legend_height
from federated.report.figures.style import blank, logarithmic_x, plain, say
from federated.report.findings.results import RunResult, arms_of
from federated.report.findings.strokes import Stroke, arm_strokes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 10.5
_PANEL_HEIGHT = 3.4
_SEED_SIZE, _MEAN_SIZE = 3.5, 8.0


def rate_distortion(results: Sequence[RunResult]) -> Figure:
    """Final main metric of every arm against how many times smaller its uplink is than 32-bit floats.

    A panel a facet; small: a finished seed, large: their mean. Runs whose ratio was not logged are left out.
    """
    known = [run for run in results if None not in (run.uplink_ratio, run.final(run.main_metric))]
    groups = facets([run for run in known if run.finished])
    looks = arm_strokes(results)
    named = keys(groups, looks)
    columns = min(max(len(groups), 1), 2)
    rows = math.ceil(max(len(groups), 1) / columns)
    height = _PANEL_HEIGHT * rows + legend_height(list(named), _WIDTH)
    figure, panels = blank(_WIDTH, height, rows=rows, columns=columns, sharex=True)
    for panel, group in zip(panels.flat, groups, strict=False):
        _draw(panel, group, looks)
    for panel in list(panels.flat)[len(groups) :]:
        panel.set_axis_off()
    if not groups:
        say(panels[0, 0], "no finished run with a ratio")
    legend_below(figure, handles_of(named), "large: mean over seeds; small: one seed")
    return figure


def _draw(panel: Axes, group: Facet, looks: dict[str, Stroke]) -> None:
    metric = group.runs[0].main_metric
    for arm in arms_of(group.runs):
        points = np.array(
            [(run.uplink_ratio, run.final(metric)) for run in group.runs if run.arm == arm], np.float64
        )
        look = looks[arm]
        panel.plot(*points.T, look.marker, color=look.colour, ms=_SEED_SIZE, alpha=0.55, mew=0)
        panel.plot(*points.mean(axis=0), look.marker, color=look.colour, ms=_MEAN_SIZE, mec="white", mew=0.6)
    ratios = [run.uplink_ratio or 1.0 for run in group.runs]
    logarithmic_x(panel, min(ratios), max(ratios))
    panel.set_xlabel("times fewer uplink bytes than 32-bit floats (logarithmic)")
    panel.set_ylabel(f"final {metric_label(metric)}")
    panel.set_title(plain(group.title), loc="left", fontsize=9)
