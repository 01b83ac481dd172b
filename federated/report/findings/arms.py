"""The arms side by side: mean and standard deviation over seeds of what their finished runs ended with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from federated.report.findings.gap_closed import gap_closed
from federated.report.findings.results import (
    BYTES_PER_MB,
    DOWNLINK,
    EPSILON,
    TRAINING_LOSS,
    UPLINK,
    RunResult,
    arms_of,
)

NOTHING = "–"
"""What stands where there is no number."""


@dataclass(frozen=True)
class Spread:
    """A quantity over the finished seeds of an arm that have it.

    mean: None without a seed. sd: sample standard deviation (divisor count - 1), None below two seeds.
    """

    mean: float | None
    sd: float | None
    count: int


@dataclass(frozen=True)
class ArmSummary:
    """One row of the comparison. `runs` counts all runs, `failed` those that failed, `running` those not ended yet.

    score: final value of `main_metric`. secondary: the other final metrics, by their full names. uplink_ratio: bytes of
    all updates as 32-bit floats over those sent. anchor: which one it is, if it is one. gap_closed: the share of its
    anchors' gap; by definition 1 for centralised and 0 for local training.
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
    uplink_ratio: Spread = Spread(None, None, 0)
    anchor: str = ""
    gap_closed: Spread = Spread(None, None, 0)
    running: int = 0


_NONE, _ENDS = Spread(None, None, 0), {"centralised": 1.0, "local": 0.0}


def compare(results: Iterable[RunResult]) -> list[ArmSummary]:
    """One summary an arm, in first-seen order. Runs that did not finish are counted, their numbers are not used."""
    runs = list(results)
    shares = {
        arm: Spread(closed.share, closed.sd, len(closed.seeds))
        for arm, closed in gap_closed(runs).items()
        if closed.share is not None
    }
    shares |= {run.arm: Spread(_ENDS[run.anchor], None, 1) for run in runs if run.anchor} if shares else {}
    return [
        replace(_summary([run for run in runs if run.arm == arm]), gap_closed=shares.get(arm, _NONE))
        for arm in arms_of(runs)
    ]


def spread(values: Iterable[float | None]) -> Spread:
    """Mean and sample standard deviation of the values that exist; a NaN among them is not hidden."""
    known = np.array([value for value in values if value is not None], np.float64)
    if not len(known):
        return Spread(None, None, 0)
    with np.errstate(invalid="ignore"):
        sd = float(known.std(ddof=1)) if len(known) > 1 else None
        return Spread(float(known.mean()), sd, len(known))


def _summary(runs: list[RunResult]) -> ArmSummary:
    finished = [run for run in runs if run.finished]
    main = (finished or runs)[0].main_metric
    names = dict.fromkeys(name for run in finished for name in run.metric_names)
    told = ("generalisation/", TRAINING_LOSS, EPSILON)
    secondary = [n for n in names if n != main and n.startswith(told)]
    return ArmSummary(
        arm=runs[0].arm,
        runs=len(runs),
        failed=sum(run.failed for run in runs),
        main_metric=main,
        score=spread(run.final(main) for run in finished),
        uplink_mb=spread(_megabytes(run, UPLINK) for run in finished),
        downlink_mb=spread(_megabytes(run, DOWNLINK) for run in finished),
        rounds=spread(run.rounds_done for run in finished),
        secondary={name: spread(run.final(name) for run in finished) for name in secondary},
        uplink_ratio=spread(run.uplink_ratio for run in finished),
        anchor=runs[0].anchor,
        running=sum(run.running for run in runs),
    )


def _megabytes(run: RunResult, metric: str) -> float | None:
    total = run.final(metric)
    return None if total is None else total / BYTES_PER_MB


@dataclass(frozen=True)
class _Column:
    """One quantity of the comparison: the single place from which both forms of the table come.

    text: how a cell is written. plain: whether a cell is one value and not a Spread. secondary: whether the
    short table leaves it out.
    """

    name: str
    cell: Callable[[ArmSummary], Any]
    text: Callable[[Any], str]
    plain: bool = False
    secondary: bool = False


def _columns(summaries: Sequence[ArmSummary]) -> list[_Column]:
    """Arms of one study may have different main metrics; each then has its column, empty for the others."""
    mains = dict.fromkeys(summary.main_metric for summary in summaries)
    others = dict.fromkeys(name for summary in summaries for name in summary.secondary if name not in mains)
    closed = _Column("gap closed", lambda summary: summary.gap_closed, _share_text)
    running = _Column("running", lambda summary: summary.running, str, plain=True)
    ratio = _Column("uplink ratio", lambda summary: summary.uplink_ratio, amount_text, secondary=True)
    return [
        _Column("arm", lambda summary: summary.arm, str, plain=True),
        *(_metric_column(name, secondary=False) for name in mains),
        *([closed] if any(summary.gap_closed.count for summary in summaries) else []),
        _Column("uplink MB", lambda summary: summary.uplink_mb, amount_text),
        _Column("downlink MB", lambda summary: summary.downlink_mb, amount_text),
        _Column("rounds", lambda summary: summary.rounds, rounds_text),
        _Column("runs", lambda summary: summary.runs, str, plain=True),
        _Column("failed", lambda summary: summary.failed, str, plain=True),
        *([running] if any(summary.running for summary in summaries) else []),
        *([ratio] if any(summary.uplink_ratio.count for summary in summaries) else []),
        *(_metric_column(name, secondary=True) for name in others),
    ]


def _metric_column(name: str, *, secondary: bool) -> _Column:
    def cell(summary: ArmSummary) -> Spread:
        known = {**summary.secondary, summary.main_metric: summary.score}
        return known.get(name, Spread(None, None, 0))

    bounded = name.endswith(("accuracy", "f1", "r2"))
    return _Column(short_name(name), cell, _score_text if bounded else _error_text, secondary=secondary)


def short_name(metric: str) -> str:
    """`generalisation/test_accuracy` -> `test_accuracy`; `train/loss` -> `train_loss`."""
    return metric.removeprefix("generalisation/").replace("/", "_")


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


def text_table(summaries: Sequence[ArmSummary], *, full: bool = True) -> tuple[list[str], list[list[str]]]:
    """(header, rows) of text such as `0.912 ± 0.008`; without `full`, no secondary metrics."""
    columns = [column for column in _columns(summaries) if full or not column.secondary]
    rows = [[column.text(column.cell(summary)) for column in columns] for summary in summaries]
    return [column.name for column in columns], rows


def _score_text(cell: Spread) -> str:
    return _spread_text(cell, decimals=3)


def _share_text(cell: Spread) -> str:
    return _spread_text(cell, decimals=2)


def _error_text(cell: Spread) -> str:
    return _spread_text(cell, _decimals(cell.mean))


def amount_text(cell: Spread) -> str:
    """`2.00 ± 1.41`: three digits that mean something, and no deviation of zero."""
    return _spread_text(cell, _decimals(cell.mean), hide_zero=True)


def rounds_text(cell: Spread) -> str:
    """`12`, or `12.3 ± 1.5` where seeds differ."""
    return _spread_text(cell, decimals=0 if not cell.sd else 1, hide_zero=True)


def _decimals(mean: float | None) -> int:
    """As many as show three digits that mean something."""
    if mean is None or mean == 0 or not math.isfinite(mean):
        return 0
    return min(max(2 - math.floor(math.log10(abs(mean))), 0), 9)


def _spread_text(cell: Spread, decimals: int, *, hide_zero: bool = False) -> str:
    """`mean ± sd`; hide_zero: for what is the same with every seed by its nature, a zero says nothing."""
    if cell.mean is None:
        return NOTHING
    mean = number_text(cell.mean, decimals)
    if cell.sd is None or (hide_zero and round(cell.sd, decimals) == 0):
        return mean
    return f"{mean} ± {number_text(cell.sd, decimals)}"


def number_text(value: float, decimals: int) -> str:
    """With thousands separated, and in powers of ten where that would not fit a column."""
    return f"{value:.2e}" if math.isfinite(value) and abs(value) >= 1e7 else f"{value:,.{decimals}f}"


def final_text(run: RunResult) -> str:
    """The final main metric of one run, written as in the table."""
    return _metric_column(run.main_metric, secondary=False).text(spread([run.final(run.main_metric)]))
