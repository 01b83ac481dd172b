"""What communication cost a study's arms: a table, its note and figures, as every place that shows them needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from federated.report.costs.to_target import target_note, target_table, target_text, to_target
from federated.report.figures.arms.cost_curves import cost_curves
from federated.report.figures.arms.rate_distortion import rate_distortion
from federated.report.findings.results import SIMULATED_SECONDS, UPLINK, RunResult, candidates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SAME_BYTES = 1.01
"""Ratio of the most to the least uplink bytes up to which arms differ by chance (entropy coding, empty payloads)."""


@dataclass(frozen=True)
class Costs:
    """header, rows: the way to the target as text. note: what it says of target and network. table: plain numbers."""

    header: list[str]
    rows: list[list[str]]
    note: str
    table: dict[str, list[Any]]


def costs(results: Sequence[RunResult], target: float | None = None) -> Costs:
    """What every arm needed until the target; `target` is one of the main metric, instead of the study's own."""
    rows = to_target(results, target)
    header, text = target_text(rows)
    note = " ".join(part for part in (target_note(rows) if rows else "", _networks(results)) if part)
    return Costs(header, text, note, target_table(rows))


def bytes_and_time(results: Sequence[RunResult]) -> Figure | None:
    """Scores against bytes and simulated time; None where all arms sent the same and no network is stated.

    Without anchors, which send nothing.
    """
    results = candidates(results)
    differ = len(_distinct(run.final(UPLINK) for run in results)) > 1
    return cost_curves(results) if differ or _clocked(results) else None


def rate_and_distortion(results: Sequence[RunResult]) -> Figure | None:
    """Scores against how much smaller uplinks are; None where all arms compress alike."""
    results = candidates(results)
    return rate_distortion(results) if len(_distinct(run.uplink_ratio for run in results)) > 1 else None


def _distinct(values: Any) -> list[float]:
    """The values that differ from the next smaller one by more than chance."""
    kept: list[float] = []
    for value in sorted(value for value in values if value is not None):
        if not kept or value > kept[-1] * _SAME_BYTES:
            kept.append(value)
    return kept


def _clocked(results: Sequence[RunResult]) -> bool:
    return any(run.final(SIMULATED_SECONDS) is not None for run in results)


def _networks(results: Sequence[RunResult]) -> str:
    """`Simulated on: 4g (uplink_mbps 13.6, ...).`"""
    stated = dict.fromkeys(_network(run) for run in results if run.parameters.get("network"))
    return f"Simulated time on {'; '.join(stated)}." if stated and _clocked(results) else ""


def _network(run: RunResult) -> str:
    prefix = "network."
    figures = [
        f"{name.removeprefix(prefix)} {value}"
        for name, value in run.parameters.items()
        if name.startswith(prefix)
    ]
    return f"{run.parameters['network']} ({', '.join(figures)})"
