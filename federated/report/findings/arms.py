"""The arms side by side: mean and standard deviation over seeds of the final values of their finished runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from federated.metrics.names import metric_label
from federated.report.findings.gap_closed import gap_closed
from federated.report.findings.results import (
    BYTES_PER_MB,
    DOWNLINK,
    EPSILON,
    OWN_MODELS_MARK,
    TRAINING_LOSS,
    UPLINK,
    RunResult,
    arms_of,
    largest_promise,
)
from federated.report.findings.verdicts import DELTA
from federated.report.questions.epsilons import promise_text
from federated.report.text.numbers_as_text import (
    NONE,
    Spread,
    amount_text,
    decimals_of,
    rounds_text,
    spread_text,
)
from federated.report.text.table import Table


@dataclass(frozen=True)
class ArmSummary:
    """One row of the comparison. `runs` counts all runs, `failed` those that failed, `running` those not ended yet.

    score: final value of `main_metric`. secondary: the other final metrics, by their full names. uplink_ratio: bytes of
    all updates as 32-bit floats over those sent. anchor: which one it is, if it is one. gap_closed: the share of its
    anchors' gap; by definition 1 for centralised and 0 for local training. own_models_not_covered: whether its scores
    are of clients' own models, which its epsilon does not cover.
    """

    arm: str
    runs: int
    failed: int
    main_metric: str
    score: Spread
    uplink_mb: Spread
    downlink_mb: Spread
    rounds: Spread
    secondary: dict[str, Spread]
    uplink_ratio: Spread = NONE
    anchor: str = ""
    gap_closed: Spread = NONE
    running: int = 0
    own_models_not_covered: bool = False


_ENDS = {"centralised": 1.0, "local": 0.0}


def compare(results: Iterable[RunResult], delta: float = DELTA) -> list[ArmSummary]:
    """One summary an arm, in first-seen order. Runs that did not finish are counted, their numbers are not used.

    delta: see `gap_closed`.
    """
    runs = list(results)
    shares = {
        arm: Spread(closed.share, closed.sd, len(closed.seeds))
        for arm, closed in gap_closed(runs, delta=delta).items()
        if closed.share is not None
    }
    shares |= {run.arm: Spread(_ENDS[run.anchor], None, 1) for run in runs if run.anchor} if shares else {}
    return [
        replace(_summary([run for run in runs if run.arm == arm]), gap_closed=shares.get(arm, NONE))
        for arm in arms_of(runs)
    ]


def spread(values: Iterable[float | None]) -> Spread:
    """Mean and sample standard deviation of the values that exist; a NaN among them is not hidden."""
    known = np.array([value for value in values if value is not None], np.float64)
    if not len(known):
        return NONE
    with np.errstate(invalid="ignore"):
        sd = float(known.std(ddof=1)) if len(known) > 1 else None
        return Spread(float(known.mean()), sd, len(known))


def _summary(runs: list[RunResult]) -> ArmSummary:
    finished = [run for run in runs if run.finished]
    main = (finished or runs)[0].main_metric
    names = dict.fromkeys(name for run in finished for name in run.metric_names)
    shown = ("generalisation/", TRAINING_LOSS, EPSILON)
    secondary = [n for n in names if n != main and n.startswith(shown)]
    return ArmSummary(
        arm=runs[0].arm,
        runs=len(runs),
        failed=sum(run.failed for run in runs),
        main_metric=main,
        score=spread(run.final(main) for run in finished),
        uplink_mb=spread(_megabytes(run, UPLINK) for run in finished),
        downlink_mb=spread(_megabytes(run, DOWNLINK) for run in finished),
        rounds=spread(run.rounds_done for run in finished),
        secondary={name: over_seeds(finished, name) for name in secondary},
        uplink_ratio=spread(run.uplink_ratio for run in finished),
        anchor=runs[0].anchor,
        running=sum(run.running for run in runs),
        own_models_not_covered=any(run.own_models_not_covered for run in finished),
    )


def over_seeds(runs: Sequence[RunResult], name: str) -> Spread:
    """The final values of a metric over seeds; of an epsilon the largest, which the promises of all seeds keep."""
    if name.startswith(EPSILON):
        return Spread(largest_promise(runs, name), None, len(runs))
    return spread(run.final(name) for run in runs)


def _megabytes(run: RunResult, metric: str) -> float | None:
    total = run.final(metric)
    return None if total is None else total / BYTES_PER_MB


@dataclass(frozen=True)
class _Column:
    """One quantity of the comparison, the source of both forms of the table.

    name: in the table of numbers. text: a cell as text. plain: whether a cell is one value and not a Spread. secondary:
    whether the short table leaves it out. title: in the table of text, where that differs from the name. in_words: a
    cell as text where that takes more than the cell.
    """

    name: str
    cell: Callable[[ArmSummary], Any]
    text: Callable[[Any], str]
    plain: bool = False
    secondary: bool = False
    title: str = ""
    in_words: Callable[[ArmSummary], str] | None = None

    def shown(self, summary: ArmSummary) -> str:
        """The cell of an arm as text."""
        return self.text(self.cell(summary)) if self.in_words is None else self.in_words(summary)


def _columns(summaries: Sequence[ArmSummary]) -> list[_Column]:
    """Arms of one study may have different main metrics; each then has its column, empty for the others."""
    mains = list(dict.fromkeys(summary.main_metric for summary in summaries))
    others = dict.fromkeys(name for summary in summaries for name in summary.secondary if name not in mains)
    promises = [name for name in others if name.startswith(EPSILON)]
    closed = _Column("gap closed", lambda summary: summary.gap_closed, lambda cell: spread_text(cell, 2))
    running = _Column("running", lambda summary: summary.running, str, plain=True)
    ratio = _Column("uplink ratio", lambda summary: summary.uplink_ratio, amount_text, secondary=True)
    return [
        _Column("arm", lambda summary: summary.arm, str, plain=True),
        *(_metric_column(name) for name in mains),
        *map(_promise_column, promises),
        *([closed] if any(summary.gap_closed.count for summary in summaries) else []),
        _Column("uplink MB", lambda summary: summary.uplink_mb, amount_text),
        _Column("downlink MB", lambda summary: summary.downlink_mb, amount_text),
        _Column("rounds", lambda summary: summary.rounds, rounds_text),
        _Column("runs", lambda summary: summary.runs, str, plain=True),
        _Column("failed", lambda summary: summary.failed, str, plain=True),
        *([running] if any(summary.running for summary in summaries) else []),
        *([ratio] if any(summary.uplink_ratio.count for summary in summaries) else []),
        *(_metric_column(name, mains[0], secondary=True) for name in others if name not in promises),
    ]


def _promise_column(metric: str) -> _Column:
    """Of an epsilon that does not cover the models that the arm is scored by, that instead of the number."""

    def text(summary: ArmSummary) -> str:
        if summary.own_models_not_covered:
            return OWN_MODELS_MARK
        return promise_text(summary.secondary.get(metric, NONE).mean)

    return replace(_metric_column(metric), in_words=text)


def _metric_column(metric: str, main: str = "", *, secondary: bool = False) -> _Column:
    def cell(summary: ArmSummary) -> Spread:
        known = {**summary.secondary, summary.main_metric: summary.score}
        return known.get(metric, NONE)

    def text(cell: Spread) -> str:
        return spread_text(cell, decimals_of(metric, cell.mean, main))

    short = metric.removeprefix("generalisation/").replace("/", "_")
    return _Column(short, cell, text, secondary=secondary, title=metric_label(metric))


def table(summaries: Sequence[ArmSummary]) -> dict[str, list[Any]]:
    """The comparison as columns of plain numbers, None where there is none; one row an arm.

    A spread takes two columns, such as `test_accuracy mean` and `test_accuracy sd`.
    """
    columns: dict[str, list[Any]] = {}
    for column in _columns(summaries):
        cells = [column.cell(summary) for summary in summaries]
        if column.plain:
            columns[column.name] = cells
        else:
            columns[f"{column.name} mean"] = [cell.mean for cell in cells]
            columns[f"{column.name} sd"] = [cell.sd for cell in cells]
    return columns


def text_table(summaries: Sequence[ArmSummary], *, full: bool = True) -> Table:
    """The comparison as text such as `0.912 ± 0.008`; without `full`, no secondary metrics."""
    columns = [column for column in _columns(summaries) if full or not column.secondary]
    rows = [[column.shown(summary) for column in columns] for summary in summaries]
    return Table([column.title or column.name for column in columns], rows)
