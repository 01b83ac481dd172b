"""What is printed and written: a table for people, JSON for later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.orchestration import end_to_end_table
from benchmarks.rivals import FEDSTUDY
from benchmarks.statistics import Result, ratio
from benchmarks.workloads import WORKLOADS


@dataclass(frozen=True)
class Measured:
    """All that one call measured. growth: of W4, or empty; end_to_end: of W5, or empty."""

    machine: dict[str, Any]
    data: str
    results: Sequence[Result]
    growth: Sequence[dict[str, Any]] = ()
    end_to_end: dict[str, Any] = field(default_factory=dict)


def as_json(measured: Measured) -> dict[str, Any]:
    """Everything, as it is written to a file."""
    names = dict.fromkeys(result.workload for result in measured.results)
    return {
        "machine": measured.machine,
        "data": measured.data,
        "workloads": {name: WORKLOADS[name].title for name in names},
        "results": [_entry(result, ours) for result, ours in _with_ours(measured.results)],
        "growth": list(measured.growth),
        "end_to_end": measured.end_to_end,
    }


def show(measured: Measured, screen: Console) -> None:
    """The tables, and what they were measured on."""
    if measured.results:
        screen.print(table(measured.results, measured.data))
    for one in measured.results:
        if one.failure:
            screen.print(f"{one.workload}, {one.rival}: {one.failure}", markup=False, highlight=False)
    if measured.growth:
        screen.print(growth_table(measured.growth))
    if measured.end_to_end:
        screen.print(end_to_end_table(measured.end_to_end))
    machine = measured.machine
    where = f"{machine['cpu']}, {machine['cores']} cores; load at the start {machine['load_average']}"
    screen.print(where, highlight=False)


def _entry(result: Result, ours: Result) -> dict[str, Any]:
    entry = {"workload": result.workload, "rival": result.rival, "version": result.version}
    if not result.timings:
        return {**entry, "failure": result.failure}
    return {
        **entry,
        "seconds_per_round": result.seconds,
        "times_fedstudy": ratio(ours, result),
        "slowest_over_quickest_pass": result.spread,
        "accuracy": result.accuracy,
        "passes": [asdict(timing) for timing in result.timings],
    }


def table(results: Sequence[Result], data: str) -> Table:
    """One row for each rival on each workload."""
    made = Table(title=f"Training on {data}; medians of passes made in turn", title_justify="left")
    for name in ("workload", "rival"):
        made.add_column(name, no_wrap=True)
    for name in ("s a round", "times fedstudy's", "slowest/quickest", "accuracy"):
        made.add_column(name, justify="right")
    for result, ours in _with_ours(results):
        made.add_row(result.workload, result.version or result.rival, *_cells(result, ours))
    return made


def _cells(result: Result, ours: Result) -> tuple[str, ...]:
    if not result.timings:
        return ("failed", "", "", "")
    return (
        f"{result.seconds:.4f}",
        f"{ratio(ours, result):.2f}",
        f"{result.spread:.2f}",
        f"{result.accuracy:.4f}",
    )


def growth_table(growth: Sequence[dict[str, Any]]) -> Table:
    """How time and memory grow with the cohort."""
    made = Table(title="W4: clients a round against time and memory of fedstudy", title_justify="left")
    for name in ("clients a round", "s a round", "ms a client", "peak RSS MB", "peak MB, all processes"):
        made.add_column(name, justify="right")
    for row in growth:
        made.add_row(
            f"{row['cohort']:,}",
            f"{row['seconds']:.3f}",
            f"{1000 * row['seconds'] / row['cohort']:.3f}",
            f"{row['peak_rss_mb']:.0f}",
            f"{row['peak_mb']:.0f}",
        )
    return made


def _with_ours(results: Sequence[Result]) -> Iterator[tuple[Result, Result]]:
    """Each result with fedstudy's on the same workload."""
    ours = {result.workload: result for result in results if result.rival == FEDSTUDY}
    for result in results:
        yield result, ours[result.workload]
