"""The communication cost of a study's arms until a target, as text and as plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from federated.report.costs.to_target import target_table, target_text, to_target
from federated.report.findings.results import SIMULATED_SECONDS, RunResult
from federated.report.text.table import Table


@dataclass(frozen=True)
class Costs:
    """text: the cost until the target, with a note on target and network. numbers: the same as columns."""

    text: Table
    numbers: dict[str, list[Any]]


def costs(results: Sequence[RunResult], target: float | None = None) -> Costs:
    """The cost of each arm until the target; `target` replaces the study's own and is one of the main metric."""
    rows = to_target(results, target)
    text = target_text(rows)
    note = " ".join(part for part in (text.note, _networks(results)) if part)
    return Costs(replace(text, note=note), target_table(rows))


def clocked(results: Sequence[RunResult]) -> bool:
    """Whether any run was timed on a simulated network."""
    return any(run.final(SIMULATED_SECONDS) is not None for run in results)


def _networks(results: Sequence[RunResult]) -> str:
    """`Simulated network: 4g (uplink_mbps 13.6, ...).`"""
    stated = dict.fromkeys(_network(run) for run in results if run.parameters.get("network"))
    return f"Simulated network: {'; '.join(stated)}." if stated and clocked(results) else ""


def _network(run: RunResult) -> str:
    prefix = "network."
    figures = [
        f"{name.removeprefix(prefix)} {value}"
        for name, value in run.parameters.items()
        if name.startswith(prefix)
    ]
    return f"{run.parameters['network']} ({', '.join(figures)})"
