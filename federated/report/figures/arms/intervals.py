"""Numbers of arms with their intervals, one row an arm: differences from the baseline, generalisation gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from federated.metrics.names import headline_of, metric_label
from federated.report.figures.style import blank, plain
from federated.report.findings.by_seed import interval_over_seeds
from federated.report.findings.ranking import OUT_OF_SAMPLE_GAP, PARTICIPATION_GAP
from federated.report.findings.results import RunResult, arms_of
from federated.report.findings.strokes import GREY, Stroke, arm_strokes
from federated.report.findings.verdicts import Paired
from federated.report.statistics.paired import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Row = tuple[str, float | None, Interval | None]


def difference_picture(results: Sequence[RunResult], pairs: Sequence[Paired]) -> Figure | None:
    """Difference of every arm from the baseline with its interval; None where nothing was compared.

    The grey band is `delta` either way: differences within it do not matter.
    """
    rows: list[_Row] = [(pair.arm, pair.estimate, pair.interval) for pair in pairs]
    if not any(mean is not None for _, mean, _ in rows):
        return None
    figure, panels = blank(9.5, 1.05 + 0.27 * len(rows))
    panel, delta = panels[0, 0], pairs[0].delta
    panel.axvspan(-delta, delta, color="#efefef", lw=0, zorder=0)
    _draw(panel, rows, arm_strokes(results))
    name = f"{metric_label(pairs[0].metric)} minus that of {_baseline(results, pairs)}"
    of_which = " for all pairs of arms at once" if pairs[0].picked else ""
    panel.set_xlabel(f"{name}\n(line: 95 % interval over seeds{of_which}; grey: less than {delta:g})")
    return figure


def _baseline(results: Sequence[RunResult], pairs: Sequence[Paired]) -> str:
    """The baseline in words: one arm, or the arm of the same name in the study that others are compared with."""
    baselines = {pair.baseline for pair in pairs}
    if len(baselines) == 1:
        return f"the baseline, {plain(pairs[0].baseline)}"
    studies = dict.fromkeys(run.study for run in results if run.arm in baselines)
    return f"the same arm of {plain(' and '.join(studies))}"


def gap_picture(results: Sequence[RunResult]) -> Figure | None:
    """Out-of-sample and participation gap of every arm, mean and interval over seeds; None where not measured.

    Positive: worse on what was not seen.
    """
    arms = arms_of(results)
    by_arm = {arm: [run for run in results if run.arm == arm] for arm in arms}
    titles = {
        OUT_OF_SAMPLE_GAP: "out-of-sample gap, training examples against own held-out examples",
        PARTICIPATION_GAP: "participation gap, participating against unseen clients",
    }
    unit = _unit(results[0]) if results else ""
    measured: dict[str, list[_Row]] = {}
    for metric, title in titles.items():
        rows = [(arm, *interval_over_seeds(runs, metric)) for arm, runs in by_arm.items()]
        if any(mean is not None for _, mean, _ in rows):
            measured[title] = rows
    if not measured:
        return None
    figure, panels = blank(10.5, 1.1 + 0.27 * len(arms), columns=len(measured), sharey=True)
    for panel, (title, rows) in zip(panels[0], measured.items(), strict=True):
        _draw(panel, rows, arm_strokes(results))
        panel.set_xlabel(f"{title}\n(in {unit}; above zero: worse; line: 95 % interval over seeds)")
    return figure


def _unit(run: RunResult) -> str:
    """The measure of which gaps are differences."""
    headline = headline_of(run.main_metric, run.metric_names)
    return metric_label(f"generalisation/test_{headline}").removeprefix("test ")


def _draw(panel: Axes, rows: Sequence[_Row], looks: dict[str, Stroke]) -> None:
    """A marker at each mean, a line over its interval, and a line at zero."""
    panel.axvline(0, color=GREY, lw=0.8, zorder=1)
    for at, (arm, mean, interval) in enumerate(rows):
        if mean is None:
            continue
        look = looks[arm]
        if interval is not None:
            panel.plot(interval, (at, at), color=look.colour, lw=1.6, solid_capstyle="butt")
        panel.plot(mean, at, look.marker, color=look.colour, ms=6, mec="white", mew=0.5)
    panel.set_yticks(range(len(rows)), [plain(arm) for arm, _, _ in rows], fontsize=8)
    panel.set_ylim(len(rows) - 0.4, -0.6)
