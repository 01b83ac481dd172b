"""Figures of what communication cost, where arms differ in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from federated.report.costs.bytes_and_seconds import clocked
from federated.report.figures.arms.cost_curves import cost_curves
from federated.report.figures.arms.rate_distortion import rate_distortion
from federated.report.findings.results import UPLINK, RunResult, candidates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SAME_BYTES = 1.01
"""Ratio of the most to the least uplink bytes up to which arms differ by chance (entropy coding, empty payloads)."""


def bytes_and_time(results: Sequence[RunResult]) -> Figure | None:
    """Scores against bytes and simulated time; None where all arms sent the same and no network is stated.

    Without anchors, which send nothing.
    """
    results = candidates(results)
    differ = len(_distinct(run.final(UPLINK) for run in results)) > 1
    return cost_curves(results) if differ or clocked(results) else None


def rate_and_distortion(results: Sequence[RunResult]) -> Figure | None:
    """Scores against how much smaller uplinks are; None where all arms compress alike.

    None too where they train different parts of a model: a ratio is to the floats of the part, so it says nothing of
    which part is cheaper. Their MB are on the axes of the other figures.
    """
    results = candidates(results)
    if len({run.parameters.get("trained") for run in results}) > 1:
        return None
    return rate_distortion(results) if len(_distinct(run.uplink_ratio for run in results)) > 1 else None


def _distinct(values: Any) -> list[float]:
    """The values that differ from the next smaller one by more than chance."""
    kept: list[float] = []
    for value in sorted(value for value in values if value is not None):
        if not kept or value > kept[-1] * _SAME_BYTES:
            kept.append(value)
    return kept
