"""All arms of a study over rounds and over the bytes that they sent."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from federated.report.figures.legends import legend_below, legend_height
from federated.report.figures.style import blank, finite, label_pair, logarithmic_x, plain, say
from federated.report.findings.arms import compare
from federated.report.findings.results import UPLINK, RunResult, arms_of, candidates
from federated.report.findings.strokes import Stroke, arm_strokes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_WIDTH = 10.5
_MOST_BANDS = 12
_MOST_MARKERS = 8
_LEAST_APART = 0.035
"""Share of the axis below which two anchors' names would cover each other."""
_NAME_COLOUR = "#444444"
LOG_FROM = 5.0
"""Ratio of the largest to the smallest arm's total bytes from which their axis is logarithmic."""


class MeanCurve(NamedTuple):
    """An arm at the rounds that all its finished seeds have; each array is [n]. `mb`: mean uplink so far."""

    rounds: np.ndarray
    mb: np.ndarray
    mean: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    num_seeds: int


def arm_curves(results: Sequence[RunResult]) -> Figure:
    """Every arm's main metric against rounds and against uplink bytes; one row of panels a main metric.

    Line: mean over the finished seeds. Band, up to 12 arms: from the lowest to the highest seed. Arms
    without a finished run are left out. Anchors are horizontal lines where they ended.
    """
    anchors, looks = [run for run in results if run.anchor], arm_strokes(results)
    results = candidates(results)
    arms = arms_of(results)
    metrics = list(dict.fromkeys(result.main_metric for result in (*results, *anchors))) or [""]
    height = 3.7 * len(metrics) + legend_height(arms, _WIDTH)
    figure, panels = blank(_WIDTH, height, rows=len(metrics), columns=2)
    banded = len(arms) <= _MOST_BANDS and len({result.seed for result in results}) > 1
    lines: dict[str, Line2D] = {}
    for (by_round, by_uplink), metric in zip(panels, metrics, strict=True):
        curves = mean_curves([result for result in results if result.main_metric == metric])
        for arm, curve in curves.items():
            lines[arm] = _draw(by_round, curve.rounds, curve, looks[arm], banded=banded)
            _draw(by_uplink, curve.mb, curve, looks[arm], banded=banded)
        references = [run for run in anchors if run.main_metric == metric]
        _draw_anchors(by_uplink, references, looks)
        scores = _draw_anchors(by_round, references, looks)
        label_pair(by_round, by_uplink, metric)
        _name_anchors(by_round, scores)
        _stretch(by_uplink, list(curves.values()))
    for panel in () if lines else figure.axes:
        say(panel, "no finished run")
    legend_below(
        figure,
        lines,
        "line: mean over seeds; band: lowest to highest seed" if banded else "line: mean over seeds",
    )
    return figure


def _draw_anchors(panel: Axes, anchors: Sequence[RunResult], looks: dict[str, Stroke]) -> dict[str, float]:
    """A line across the panel at each anchor's mean final score, which is returned."""
    scores = {
        arm: compare([run for run in anchors if run.arm == arm])[0].score.mean for arm in arms_of(anchors)
    }
    known = {arm: score for arm, score in scores.items() if score is not None and np.isfinite(score)}
    for arm, score in known.items():
        panel.axhline(score, color=looks[arm].colour, ls=looks[arm].line, lw=0.9, zorder=1.5)
    return known


def _name_anchors(panel: Axes, scores: dict[str, float]) -> None:
    """The anchors' names at the left end of their lines; those that lie too close share one place."""
    low, high = panel.get_ylim()  # cut, for R2: an anchor below has its number in the table alone
    scores = {arm: score for arm, score in scores.items() if low <= score <= high}
    places: list[tuple[float, list[str]]] = []
    for arm, score in sorted(scores.items(), key=lambda each: each[1]):
        if places and score - places[-1][0] < _LEAST_APART * (high - low):
            places[-1][1].append(arm)
        else:
            places.append((score, [arm]))
    for score, arms in places:
        panel.annotate(
            plain("; ".join(arms)),
            (0.0, score),
            xycoords=("axes fraction", "data"),
            xytext=(3, 1.5),
            textcoords="offset points",
            va="bottom",
            fontsize=6.5,
            color=_NAME_COLOUR,
        )


def mean_curves(results: Sequence[RunResult]) -> dict[str, MeanCurve]:
    by_arm: dict[str, list[RunResult]] = {}
    for result in results:
        if result.finished and result.final(result.main_metric) is not None:
            by_arm.setdefault(result.arm, []).append(result)
    return {arm: _mean_curve(runs) for arm, runs in by_arm.items()}


def _mean_curve(runs: Sequence[RunResult]) -> MeanCurve:
    """The mean curve, up to the first round at which a seed stops: no seed's end enters twice."""
    curves = [run.curve(run.main_metric) for run in runs]
    rounds = functools.reduce(np.intersect1d, (rounds for rounds, _ in curves))
    values = np.stack([finite(values[np.isin(logged, rounds)]) for logged, values in curves])
    mb = np.mean([run.megabytes(UPLINK, rounds) for run in runs], axis=0)
    return MeanCurve(rounds, mb, values.mean(axis=0), values.min(axis=0), values.max(axis=0), len(runs))


def _draw(panel: Axes, x: np.ndarray, curve: MeanCurve, look: Stroke, *, banded: bool) -> Line2D:
    if banded and curve.num_seeds > 1:
        panel.fill_between(x, curve.lowest, curve.highest, color=look.colour, alpha=0.12, lw=0)
    every = max(1, len(x) // _MOST_MARKERS)
    (line,) = panel.plot(
        *(x, curve.mean), color=look.colour, ls=look.line, marker=look.marker, markevery=every, ms=3.5, lw=1.3
    )
    return line


def _stretch(panel: Axes, curves: Sequence[MeanCurve]) -> None:
    """A logarithmic axis where arms differ a lot. It has no place for 0, where the initial model is."""
    totals = [curve.mb[-1] for curve in curves if len(curve.mb) and curve.mb[-1] > 0]
    if totals and max(totals) / min(totals) > LOG_FROM:
        logarithmic_x(panel, min(totals), max(totals))
        panel.set_xlabel(f"{panel.get_xlabel()} (logarithmic, without the initial model)")
