"""The table of a history: a row a study, the newest first, with the main metric of each arm."""

from __future__ import annotations

from collections.abc import Sequence

from federated.metrics.names import metric_label
from federated.report.text.numbers_as_text import NOTHING, decimals_of, with_interval
from federated.report.text.table import Table
from federated.report.versions.history import History, PastStudy, Point, Trend
from federated.study.further.bands import is_in_band

_BEFORE = ("date", "commit")


def history_table(history: History, arms: int | None = None) -> Table:
    """A row a study. arms: so many of them, where not all."""
    trends = history.trends[:arms]
    by_place = [{point.at: point for point in trend.points} for trend in trends]
    rows = [
        [
            study.version.when,
            study.version.code,
            *(_cell(points.get(at), trend) for trend, points in zip(trends, by_place, strict=True)),
            "; ".join(remarks(history, at)) or NOTHING,
        ]
        for at, study in reversed(list(enumerate(history.studies)))
    ]
    left_out = len(history.trends) - len(trends)
    more = f" {left_out} more {'arms are' if left_out > 1 else 'arm is'} in the report." if left_out else ""
    return Table([*_BEFORE, *(trend.arm for trend in trends), "remarks"], rows, f"{_note(trends)}{more}")


def remarks(history: History, at: int) -> list[str]:
    """What has to be known of a study beside its numbers."""
    study = history.studies[at]
    points = {trend.arm: point for trend in history.trends for point in trend.points if point.at == at}
    outside = [arm for arm, point in points.items() if is_outside(point)]
    others = [arm for arm, point in points.items() if not point.alike]
    return [
        *_end(study),
        *([f"outside its band: {', '.join(outside)}"] if outside else []),
        *(["a band missed"] if study.missed and not outside else []),
        *([f"other settings: {', '.join(others)}"] if others else []),
        *(["tuned"] if study.tuned else []),
    ]


def is_outside(point: Point) -> bool:
    """Whether the mean is outside the band that the study states for it."""
    return point.band is not None and point.mean is not None and not is_in_band(point.mean, *point.band)


def _end(study: PastStudy) -> list[str]:
    if study.running:
        return ["still running"]
    if study.failed_runs:
        return [f"{study.failed_runs} of {len(study.results)} runs failed"]
    return ["failed"] if study.failed else []


def _cell(point: Point | None, trend: Trend) -> str:
    if point is None or point.mean is None:
        return NOTHING
    return with_interval(point.mean, point.interval, decimals_of(trend.metric, point.mean))


def _note(trends: Sequence[Trend]) -> str:
    metrics = dict.fromkeys(metric_label(trend.metric) for trend in trends)
    return (
        f"Mean {' and '.join(metrics)} over the seeds that finished, with the 95 % t interval where seeds differ. "
        "+: with uncommitted changes."
    )
