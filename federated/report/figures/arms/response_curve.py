"""The main metric against the measured heterogeneity of the clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from data_partitioners.heterogeneity.label_skew import DIVERGENCES
from data_partitioners.tunable import ONE_PARAMETER
from federated.metrics.names import metric_label
from federated.report.figures.clients.fingerprint_table import in_words
from federated.report.figures.legends import line_of
from federated.report.figures.style import blank, plain
from federated.report.findings.results import RunResult, candidates
from federated.report.findings.strokes import GREY, Stroke, arm_strokes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_NAMED = 12
_FAMILY = "heterogeneity/"
_USUAL = "label_hellinger_weighted_mean"
_SKEW = {
    *("seed", "partitioner", "partitioner.by", "partitioner.value", "partitioner.tolerance"),
    *(f"partitioner.{line.parameter}" for line in ONE_PARAMETER.values()),
}
"""Settings that do not make a curve of their own: how skewed, and who makes it so, which names the curve."""


_PROMISED = {
    f"privacy.{name}"
    for name in ("unit", "sampling", "accountant", "extrapolated", "at_delta", "found_noise_multiplier")
}
"""What follows from the settings, and from how many clients a seed's partition gives examples."""


class _Point(NamedTuple):
    """One finished run. band: the IID null band of what was measured, None where it has none."""

    curve: str
    arm: str
    measured: float
    score: float
    band: tuple[float, float] | None


def response_curve(results: Sequence[RunResult]) -> Figure | None:
    """Final main metric against measured heterogeneity, one panel a main metric; None where arms hardly differ in it.

    Along x the measure that the study aims with, else the weighted mean of the clients' Hellinger distances.
    Dot: a finished seed. Line: through the means of arms that differ in nothing but how skewed their
    partitioner is. Grey: where IID partitions of these sizes lie. Arms count as different once they are further
    apart than the grey area is wide.
    """
    results = candidates(results)
    measure = _measure(results)
    varied = _varied(results)
    points = [point for result in results if (point := _point(result, measure, varied))]
    if not _differ(points):
        return None
    metrics = list(dict.fromkeys(result.main_metric for result in results))
    figure, panels = blank(9.5, 0.4 + 3.6 * len(metrics), rows=len(metrics))
    looks = arm_strokes(results)
    arms = {metric: {result.arm for result in results if result.main_metric == metric} for metric in metrics}
    for panel, metric in zip(panels[:, 0], metrics, strict=True):
        _draw(panel, [point for point in points if point.arm in arms[metric]], looks)
        panel.set_xlabel(f"measured heterogeneity: {in_words(measure)}")
        panel.set_ylabel(f"final {metric_label(metric)}")
    return figure


def _measure(results: Sequence[RunResult]) -> str:
    """The metric along x, below `heterogeneity/`."""
    aims = {result.parameters.get("partitioner.measure") for result in results} - {None}
    if len(aims) != 1:
        return _USUAL
    (aim,) = aims
    return f"label_{aim}_weighted_mean" if aim in DIVERGENCES else str(aim)


def _varied(results: Sequence[RunResult]) -> list[str]:
    """The settings that tell curves apart: in which runs differ, but for the seed and how skewed the partitioner is."""
    names = dict.fromkeys(name for result in results for name in result.parameters)
    differing = [name for name in names if len({str(r.parameters.get(name)) for r in results}) > 1]
    told = [name for name in differing if name not in _SKEW | _PROMISED]
    return [name for name in told if not _follows(name, differing, results)]


def _follows(name: str, differing: Sequence[str], results: Sequence[RunResult]) -> bool:
    """Whether an argument is there or not because a choice that it belongs to differs, and is never another."""
    stated = {str(result.parameters[name]) for result in results if name in result.parameters}
    return len(stated) == 1 and name.rpartition(".")[0] in differing


def _point(result: RunResult, measure: str, varied: Sequence[str]) -> _Point | None:
    measured, score = result.final(_FAMILY + measure), result.final(result.main_metric)
    if not result.finished or measured is None or score is None or not np.isfinite(score):
        return None
    ends = [result.final(f"{_FAMILY}{measure}_null_{end}") for end in ("low", "high")]
    band = (ends[0], ends[1]) if ends[0] is not None and ends[1] is not None else None
    by = result.parameters.get("partitioner.by") or result.parameters.get("partitioner", "")
    others = [
        f"{name.rpartition('.')[2]}={result.parameters[name]}" for name in varied if name in result.parameters
    ]
    return _Point(" · ".join([str(by), *others]), result.arm, measured, score, band)


def _differ(points: Sequence[_Point]) -> bool:
    means = [mean for mean, _ in _arm_means(points)]
    width = max((point.band[1] - point.band[0] for point in points if point.band), default=0.0)
    return len(means) > 1 and max(means) - min(means) > max(width, 1e-9)


def _arm_means(points: Sequence[_Point]) -> list[tuple[float, float]]:
    """(measured, score) of each arm, mean over its seeds, in the order of the first."""
    by_arm: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        by_arm.setdefault(point.arm, []).append((point.measured, point.score))
    means = [np.mean(pairs, axis=0) for pairs in by_arm.values()]
    return sorted((float(measured), float(score)) for measured, score in means)


def _draw(panel: Axes, points: Sequence[_Point], looks: dict[str, Stroke]) -> None:
    if bands := [point.band for point in points if point.band]:
        lowest, highest = min(low for low, _ in bands), max(high for _, high in bands)
        panel.axvspan(
            lowest, highest, color="#cccccc", alpha=0.6, lw=0, label="IID: 95 % of random partitions"
        )
    for curve in dict.fromkeys(point.curve for point in points):
        own = [point for point in points if point.curve == curve]
        line = line_of([looks[point.arm] for point in own]) or Stroke(GREY, "-", "")
        means = np.array(_arm_means(own))
        panel.plot(*means.T, color=line.colour, ls=line.line, marker=line.marker, ms=4, label=plain(curve))
        for arm in dict.fromkeys(point.arm for point in own):
            mine, look = [point for point in own if point.arm == arm], looks[arm]
            style: dict[str, Any] = {"color": look.colour, "mec": "none", "ls": "none", "marker": look.marker}
            measured, scores = np.array([(point.measured, point.score) for point in mine]).T
            panel.plot(measured, scores, ms=4, alpha=0.45, **style)
            panel.plot(measured.mean(), scores.mean(), ms=6, **style)
    panel.set_xlim(left=-0.015 * panel.get_xlim()[1])
    _name_curves(panel)


def _name_curves(panel: Axes) -> None:
    """The legend; of many curves it names the first and counts the others."""
    handles, names = panel.get_legend_handles_labels()
    more = f"; {len(names) - _MOST_NAMED} more have no name here" if len(names) > _MOST_NAMED else ""
    panel.legend(
        handles[:_MOST_NAMED],
        names[:_MOST_NAMED],
        frameon=False,
        fontsize=8,
        loc="best",
        title=f"dot: one seed; line: means{more}",
        title_fontsize=8,
    )
