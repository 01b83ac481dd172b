"""The final score of every arm of a study, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from federated.metrics.names import metric_label
from federated.report.figures.style import blank, plain
from federated.report.findings.results import RunResult, arms_of
from federated.report.findings.strokes import Stroke, arm_strokes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONGEST_LINE = 60
_LONGEST = 80
_LEAST_HEIGHT = 1.5


def arm_outcomes(results: Sequence[RunResult]) -> Figure:
    """Final main metric of every arm: a dot a finished seed, a bar at their mean; one panel a main metric.

    Arms run from top to bottom in first-seen order; one without a finished run keeps its place, empty.
    """
    looks = arm_strokes(results)
    by_metric: dict[str, list[RunResult]] = {}
    for result in results:
        by_metric.setdefault(result.main_metric, []).append(result)
    heights = [
        0.6 + sum(0.17 * _lines(arm) + 0.1 for arm in arms_of(runs)) for runs in by_metric.values()
    ] or [1.0]
    figure, panels = blank(9.5, max(sum(heights), _LEAST_HEIGHT), rows=len(heights), height_ratios=heights)
    for panel, (metric, runs) in zip(panels[:, 0], by_metric.items(), strict=False):
        _draw(panel, runs, looks)
        panel.set_xlabel(f"final {metric_label(metric)} (dot: one seed, bar: mean)")
    return figure


def _draw(panel: Axes, results: Sequence[RunResult], looks: dict[str, Stroke]) -> None:
    """One row an arm."""
    arms = arms_of(results)
    for row, arm in enumerate(arms):
        finals = (
            result.final(result.main_metric) for result in results if result.arm == arm and result.finished
        )
        values = np.array([value for value in finals if value is not None and math.isfinite(value)])
        look = looks[arm]
        panel.plot(
            values,
            np.full(len(values), row),
            look.marker,
            color=look.colour,
            ms=6,
            alpha=0.75,
            mec="white",
            mew=0.5,
        )
        if len(values) > 1:
            panel.plot(values.mean(), row, "|", color=look.colour, ms=17, mew=1.6, zorder=1.9)
    panel.set_yticks(range(len(arms)), [_label(arm, results) for arm in arms], fontsize=8)
    panel.set_ylim(len(arms) - 0.4, -0.6)


def _label(arm: str, results: Sequence[RunResult]) -> str:
    """The arm, on two lines where it is long, and how many of its runs failed or still run."""
    runs = [result for result in results if result.arm == arm]
    counts = {"failed": sum(run.failed for run in runs), "still running": sum(run.running for run in runs)}
    told = ", ".join(f"{count} of {len(runs)} {what}" for what, count in counts.items() if count)
    first, dot, rest = arm.partition(" · ") if len(arm) > _LONGEST_LINE else (arm, "", "")
    shown = f"{plain(first, _LONGEST)} ·\n{plain(rest, _LONGEST)}" if dot else plain(arm, _LONGEST)
    return shown + (f" ({told})" if told else "")


def _lines(arm: str) -> int:
    return 2 if len(arm) > _LONGEST_LINE else 1
