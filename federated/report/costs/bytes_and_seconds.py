"""The communication cost of a study's arms: a table, its note, and the data for figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from federated.report.costs.to_target import target_note, target_table, target_text, to_target
from federated.report.findings.results import SIMULATED_SECONDS, RunResult

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Costs:
    """header, rows: the way to the target as text. note: what it says of target and network. table: plain numbers."""

    header: list[str]
    rows: list[list[str]]
    note: str
    table: dict[str, list[Any]]


def costs(results: Sequence[RunResult], target: float | None = None) -> Costs:
    """The cost of each arm until the target; `target` replaces the study's own and is one of the main metric."""
    rows = to_target(results, target)
    header, text = target_text(rows)
    note = " ".join(part for part in (target_note(rows) if rows else "", _networks(results)) if part)
    return Costs(header, text, note, target_table(rows))


def clocked(results: Sequence[RunResult]) -> bool:
    """Whether any run was timed on a simulated network."""
    return any(run.final(SIMULATED_SECONDS) is not None for run in results)


def _networks(results: Sequence[RunResult]) -> str:
    """`Simulated on: 4g (uplink_mbps 13.6, ...).`"""
    stated = dict.fromkeys(_network(run) for run in results if run.parameters.get("network"))
    return f"Simulated time on {'; '.join(stated)}." if stated and clocked(results) else ""


def _network(run: RunResult) -> str:
    prefix = "network."
    figures = [
        f"{name.removeprefix(prefix)} {value}"
        for name, value in run.parameters.items()
        if name.startswith(prefix)
    ]
    return f"{run.parameters['network']} ({', '.join(figures)})"
