"""The figures of which a study states bands, judged: each within its band, outside, or unknown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from federated.metrics.names import metric_label
from federated.report.findings.arms import over_seeds, spread
from federated.report.findings.results import RunResult
from federated.report.text.numbers_as_text import NONE, NOTHING, Spread
from federated.report.text.phrases import counted, first_few
from federated.report.text.table import Table
from federated.study.further.bands import MAIN, ROUNDS, Bands, is_in_band


class Figure(NamedTuple):
    """A figure with a band.

    metric: `rounds`, or its name in MLflow. found: over the seeds that finished; without a mean where it is unknown.
    """

    arm: str
    metric: str
    low: float
    high: float
    found: Spread

    @property
    def held(self) -> bool:
        """Whether it is known and within its band."""
        return self.found.mean is not None and is_in_band(self.found.mean, self.low, self.high)

    @property
    def label(self) -> str:
        """The metric in words."""
        return {ROUNDS: "rounds", MAIN: "main metric"}.get(self.metric) or metric_label(self.metric)

    @property
    def value(self) -> str:
        """`0.5921 (2 seeds)`, with as many digits as show on which side of an end it is."""
        mean, count = self.found.mean, self.found.count
        return NOTHING if mean is None else f"{mean:.6g} ({counted(count, 'seed')})"

    @property
    def band(self) -> str:
        """`0.52 to 0.65`."""
        return f"{self.low:.6g} to {self.high:.6g}"

    @property
    def sentence(self) -> str:
        """`fedavg: test accuracy 0.41 (2 seeds) is outside its band, 0.52 to 0.65`."""
        if self.found.mean is None:
            return f"{self.arm}: {self.label} is not known, as not every seed has it; expected {self.band}"
        where = "within" if self.held else "outside"
        return f"{self.arm}: {self.label} {self.value} is {where} its band, {self.band}"


def figures_of(results: Sequence[RunResult], expect: Bands) -> list[Figure]:
    """Every figure that has a band, in the order of the bands; those of arms that have no run are unknown."""
    by_arm = {arm: [run for run in results if run.arm == arm] for arm in expect}
    return [_figure(arm, metric, band, by_arm[arm]) for arm in expect for metric, band in expect[arm].items()]


def _figure(arm: str, metric: str, band: tuple[float, float], runs: Sequence[RunResult]) -> Figure:
    finished = [run for run in runs if run.finished]
    if metric == MAIN and runs:
        metric = (finished or runs)[0].main_metric
    return Figure(arm, metric, *band, _found(finished, metric))


def _found(finished: Sequence[RunResult], metric: str) -> Spread:
    if not finished:
        return NONE
    if metric == ROUNDS:
        return spread(run.rounds_done for run in finished)
    if any(run.final(metric) is None for run in finished):
        return NONE  # the others' would be a figure of another study
    return over_seeds(finished, metric)


def missed(figures: Sequence[Figure]) -> list[str]:
    """A sentence for each figure that is not within its band."""
    return [figure.sentence for figure in figures if not figure.held]


def in_short(figures: Sequence[Figure]) -> str:
    """`1 of 3 figures is outside its band: fedavg: ...`; `3 of 3 figures are in their bands`."""
    sentences, every = missed(figures), counted(len(figures), "figure")
    if not sentences:
        return (
            f"{len(figures):,} of {every} {'is in its band' if len(figures) == 1 else 'are in their bands'}"
        )
    where = "is outside its band" if len(sentences) == 1 else "are outside their bands"
    return f"{len(sentences):,} of {every} {where}: {first_few(sentences)}"


def bands_table(figures: Sequence[Figure]) -> Table:
    """A row for each figure, those outside their bands first."""
    first = sorted(figures, key=lambda figure: figure.held)
    rows = [
        [each.arm, each.label, each.value, each.band, "held" if each.held else "missed"] for each in first
    ]
    return Table(["arm", "figure", "mean over seeds", "band", ""], rows)


def bands_numbers(figures: Sequence[Figure]) -> dict[str, list[Any]]:
    """The same as columns of plain values, in the study's order; {} without a figure."""
    if not figures:
        return {}
    return {
        "arm": [each.arm for each in figures],
        "metric": [each.metric for each in figures],
        "value": [each.found.mean for each in figures],
        "seeds": [each.found.count for each in figures],
        "low": [each.low for each in figures],
        "high": [each.high for each in figures],
        "held": [each.held for each in figures],
    }
