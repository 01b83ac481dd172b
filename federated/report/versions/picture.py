"""The picture of a history: a panel an arm, a point a study, the band that was expected, failures marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from federated.metrics.names import metric_label
from federated.report.figures.style import blank, name_places, plain
from federated.report.findings.strokes import GREY, OKABE_ITO
from federated.report.versions.history import History, Trend
from federated.report.versions.history_table import is_outside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 20
_MOST_DATES = 30
_BAD, _USUAL, _BAND = OKABE_ITO[1], OKABE_ITO[0], "#dceaf4"


def history_picture(history: History) -> Figure | None:
    """The main metric of the first arms over the studies, oldest at the left; None without a finished run.

    Line: through the means of studies with the newest settings. Bar: 95 % t interval. Shaded: the band of the study
    file at that time. Orange: outside it; a line at the foot: a study of which something failed.
    """
    trends = [trend for trend in history.trends if any(point.mean is not None for point in trend.points)]
    trends = trends[:MOST_PANELS]
    if not trends:
        return None
    figure, panels = blank(10.5, 1.1 + 1.55 * len(trends), rows=len(trends), sharex=True)
    for panel, trend in zip(panels[:, 0], trends, strict=True):
        _draw(panel, trend)
        _failures(panel, history)
        panel.set_title(plain(trend.arm), loc="left", fontsize=9)
        panel.set_ylabel(metric_label(trend.metric), fontsize=8)
    _dates(panels[-1, 0], history)
    return figure


def _draw(panel: Axes, trend: Trend) -> None:
    """The bands, the line, and a marker with its interval at each mean."""
    for point in trend.points:
        if point.band is not None:
            panel.fill_between((point.at - 0.5, point.at + 0.5), *point.band, color=_BAND, lw=0, zorder=0)
    counted = [(point.at, point.mean) for point in trend.counted if point.mean is not None]
    if counted:
        panel.plot(*np.array(counted).T, color=GREY, lw=0.8, zorder=1)
    for point in trend.points:
        if point.mean is None:
            continue
        colour = GREY if not point.alike else _BAD if is_outside(point) else _USUAL
        if point.interval is not None and point.alike:
            panel.plot((point.at, point.at), point.interval, color=colour, lw=1.4, solid_capstyle="butt")
        panel.plot(point.at, point.mean, "o", color=colour, ms=5, mfc=colour if point.alike else "white")


def _failures(panel: Axes, history: History) -> None:
    """A short line at the foot of the panel for each study of which something failed or missed its band."""
    failed = [at for at, study in enumerate(history.studies) if study.failed or study.missed]
    panel.vlines(failed, 0, 0.1, color=_BAD, lw=2.5, transform=panel.get_xaxis_transform())


def _dates(panel: Axes, history: History) -> None:
    """Dates and commits along x, of many studies every second, third, ..."""
    step = -(-len(history.studies) // _MOST_DATES)
    shown = list(enumerate(history.studies))[:: -step or -1]
    names = [f"{study.version.when}\n{study.version.code}" for _, study in shown]
    name_places(panel.xaxis, [at for at, _ in shown], names, points=7, turned=len(history.studies) > 6)
    panel.set_xlim(-0.6, len(history.studies) - 0.4)
