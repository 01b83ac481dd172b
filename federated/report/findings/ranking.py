"""The ranked table of a study: score, difference, verdict, gaps, worst clients, bytes and time of every arm."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from federated.metrics.names import headline_of, higher_is_better, metric_label, worst_clients
from federated.report.costs.front import PLACE_TEXTS, UNCOVERED, Place, pareto, problems_of, units_of
from federated.report.findings.arms import ArmSummary, compare, spread
from federated.report.findings.by_seed import interval_over_seeds
from federated.report.findings.gap_closed import GapClosed, gap_closed
from federated.report.findings.results import EPSILON, RunResult, compared, largest_promise
from federated.report.findings.verdicts import DELTA, Paired
from federated.report.questions.epsilons import promise_text
from federated.report.questions.sites import site_metric
from federated.report.text.numbers_as_text import NOTHING, Spread, decimals_of, number, with_interval
from federated.report.text.phrases import chances_text, difference_text, share_text, verdict_text
from federated.report.text.table import Table

OUT_OF_SAMPLE_GAP = "generalisation/out_of_sample_gap"
PARTICIPATION_GAP = "generalisation/participation_gap"
PERSONALISATION_GAIN = "generalisation/personalisation_gain"
PERSONALISATION_LOSERS = "generalisation/personalisation_losers"
_LEVELS = {OUT_OF_SAMPLE_GAP: "client", PARTICIPATION_GAP: "unseen"}
"""Gap -> the set on which the level that stands beside it is measured."""
_LEVEL_STARTS = tuple(f"{held_out} " for held_out in _LEVELS.values())
_GAPS = {OUT_OF_SAMPLE_GAP: "out-of-sample gap", PARTICIPATION_GAP: "participation gap"}
GAP_TITLES = tuple(_GAPS.values())

CHANCES_TITLE = "better / equivalent / worse"
_PRICES = ("MB up", "MB down", "seconds", "seeds")


@dataclass(frozen=True)
class Ranked:
    """One arm in the ranked table. cells: column -> text. place: on the Pareto front; None without numbers and for
    anchors.
    """

    arm: str
    cells: dict[str, str]
    place: Place | None

    @property
    def front(self) -> str:
        """Its place in words."""
        return PLACE_TEXTS[self.place] if self.place else NOTHING


def ranking_table(rows: Sequence[Ranked]) -> Table:
    """The rows as a table. rows: at least one."""
    columns = ["arm", *rows[0].cells, "Pareto front"]
    return Table(columns, [[row.arm, *row.cells.values(), row.front] for row in rows])


def ranked(results: Sequence[RunResult], pairs: Sequence[Paired], delta: float = DELTA) -> list[Ranked]:
    """The arms, best mean first within each main metric; those without a finished run next, and anchors last."""
    summaries = compare(compared(results), delta)
    places = pareto(summaries, problems_of(results), units_of(results))
    by_arm, closed = {pair.arm: pair for pair in pairs}, gap_closed(results, delta=delta)
    rows = [
        Ranked(
            summary.arm,
            _cells(summary, [run for run in results if run.arm == summary.arm], by_arm, pairs, closed),
            places.get(summary.arm),
        )
        for summary in sorted(summaries, key=_by_score)
    ]
    levels = dict.fromkeys(name for row in rows for name in row.cells if name.startswith(_LEVEL_STARTS))
    shown = [
        name
        for name in _columns(summaries, levels)
        if any(row.cells.get(name, NOTHING) != NOTHING for row in rows)
    ]
    return [
        Ranked(row.arm, {name: row.cells.get(name, NOTHING) for name in shown}, row.place) for row in rows
    ]


def _columns(summaries: Sequence[ArmSummary], levels: Iterable[str]) -> list[str]:
    """A column for each main metric, as arms may have different ones, then what all arms have."""
    metrics = dict.fromkeys(metric_label(summary.main_metric) for summary in summaries)
    optional = [title for each in summaries for title in _optional(each.main_metric, each.secondary).values()]
    return [
        *metrics,
        "difference",
        CHANCES_TITLE,
        "verdict",
        "gap closed",
        *levels,
        *dict.fromkeys(optional),
        *_PRICES,
    ]


def _optional(main_metric: str, logged: Collection[str]) -> dict[str, str]:
    """Metric -> title, of the columns that are there where some run measured them."""
    headline = headline_of(main_metric, logged)
    of_which = "" if main_metric.endswith(f"_{headline}") else f", {headline.upper()}"
    return {
        **_GAPS,
        worst_clients(main_metric, logged): f"worst 10 % of clients{of_which}",
        PERSONALISATION_GAIN: "gain of own models",
        PERSONALISATION_LOSERS: "clients they hurt",
        EPSILON: "epsilon",
        f"{EPSILON}_extrapolated": "epsilon, extrapolated",
    }


def _by_score(summary: ArmSummary) -> tuple[bool, bool, str, float]:
    mean, is_anchor = summary.score.mean, bool(summary.anchor)
    if mean is None or not math.isfinite(mean):
        return is_anchor, True, summary.main_metric, 0.0
    return is_anchor, False, summary.main_metric, -mean if higher_is_better(summary.main_metric) else mean


def _cells(
    summary: ArmSummary,
    runs: Sequence[RunResult],
    by_arm: dict[str, Paired],
    pairs: Sequence[Paired],
    closed: dict[str, GapClosed],
) -> dict[str, str]:
    pair = by_arm.get(summary.arm)
    role = "anchor" if summary.anchor else "baseline" if _is_baseline(summary, pairs) else NOTHING
    finished, running = sum(run.finished for run in runs), sum(run.running for run in runs)
    seeds = str(finished) if finished == len(runs) else f"{finished} of {len(runs)}"
    optional = _optional(summary.main_metric, summary.secondary)
    seconds = spread(run.seconds for run in runs if run.finished)
    return {
        metric_label(summary.main_metric): _with_interval(runs, summary.main_metric),
        "difference": difference_text(pair) if pair else NOTHING,
        CHANCES_TITLE: chances_text(pair) if pair else NOTHING,
        "verdict": verdict_text(pair) if pair else role,
        "gap closed": share_text(closed[summary.arm]) if summary.arm in closed else NOTHING,
        **_levels(runs, summary.main_metric),
        **{title: _optional_cell(runs, metric) for metric, title in optional.items()},
        "MB up": _mean(summary.uplink_mb),
        "MB down": _mean(summary.downlink_mb),
        "seconds": _mean(seconds),
        "seeds": f"{seeds} ({running} still running)" if running else seeds,
    }


def _optional_cell(runs: Sequence[RunResult], metric: str) -> str:
    """Of an epsilon the largest of the seeds, unless it does not cover the models that the arm is ranked by."""
    if not metric.startswith(EPSILON):
        return _with_interval(runs, metric)
    finished = [run for run in runs if run.finished]
    if any(run.own_models_not_covered for run in finished):
        return UNCOVERED
    largest = largest_promise(finished, metric)
    return NOTHING if largest is None else promise_text(largest)


def _levels(runs: Sequence[RunResult], main: str) -> dict[str, str]:
    """The levels beside the gaps, by the measure of the gaps: a small gap may be one of a poor model.

    Like the gaps they are of all clients' examples together, where sentences have means over clients. What arms are
    ranked by has a column already.
    """
    own = site_metric(runs, main)
    names = {gap: own.replace("/client_", f"/{held_out}_") for gap, held_out in _LEVELS.items()}
    logged = [name for gap, name in names.items() if any(gap in run.metric_names for run in runs)]
    return {f"{metric_label(name)}, pooled": _with_interval(runs, name) for name in logged if name != main}


def _is_baseline(summary: ArmSummary, pairs: Sequence[Paired]) -> bool:
    return any(pair.baseline == summary.arm for pair in pairs)


def _with_interval(runs: Sequence[RunResult], metric: str) -> str:
    """`0.912 [0.890, 0.934]`; the mean alone where the seeds give no interval."""
    mean, interval = interval_over_seeds(runs, metric)
    if mean is None:
        return NOTHING
    return with_interval(mean, interval, decimals_of(metric, mean, runs[0].main_metric))


def _mean(of: Spread) -> str:
    return number(of.mean)
