"""Which arms are worth their bytes: the Pareto front over the main metric and what was sent, and its knee."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from federated.evaluation import higher_is_better
from federated.report.comparison import ArmSummary
from federated.report.results import RunResult

Problem = tuple[tuple[str, str], ...]
Place = Literal["front", "knee", "dominated"]


def pareto(
    summaries: Sequence[ArmSummary], problems: Mapping[str, Problem] | None = None
) -> dict[str, Place]:
    """Arm -> its place among the arms with the same main metric and problem, by mean score and mean bytes.

    Bytes are those of both ways. An arm is dominated where another is as good and as cheap and in one of both
    ahead. The knee is the arm of the front farthest from the straight line between its ends, over the logarithm
    of bytes; it takes a front of three arms. Arms without a score or byte count have no place, nor have anchors,
    which are no choice. problems: of each arm, see `problems_of`; None: all have the same.
    """
    places: dict[str, Place] = {}
    groups: dict[tuple[str, Problem], list[ArmSummary]] = {}
    for summary in summaries:
        if _known(summary) and not summary.anchor:
            key = (summary.main_metric, (problems or {}).get(summary.arm, ()))
            groups.setdefault(key, []).append(summary)
    for group in groups.values():
        places |= _places(group)
    return places


def problems_of(results: Sequence[RunResult]) -> dict[str, Problem]:
    """Arm -> what it was given: data, clients and held-out shares, which nobody chooses to save bytes."""
    return {
        run.arm: tuple(
            (name, str(value))
            for name, value in sorted(run.parameters.items())
            if name.startswith(("dataset", "partitioner", "clients", "holdout"))
        )
        for run in results
    }


def total_megabytes(summary: ArmSummary) -> float | None:
    """Mean bytes of a run in both directions, in MB; None where they were not counted."""
    up, down = summary.uplink_mb.mean, summary.downlink_mb.mean
    return None if up is None or down is None else up + down


def _places(summaries: Sequence[ArmSummary]) -> dict[str, Place]:
    sign = 1 if higher_is_better(summaries[0].main_metric) else -1
    scores = np.array([sign * float(summary.score.mean or 0.0) for summary in summaries])
    costs = np.array([float(total_megabytes(summary) or 0.0) for summary in summaries])
    as_good = (scores[None] >= scores[:, None]) & (costs[None] <= costs[:, None])
    ahead = (scores[None] > scores[:, None]) | (costs[None] < costs[:, None])
    dominated = np.asarray((as_good & ahead).any(axis=1))
    knee = _knee(scores, costs, np.flatnonzero(~dominated))
    return {
        summary.arm: "dominated" if dominated[at] else "knee" if at == knee else "front"
        for at, summary in enumerate(summaries)
    }


def _knee(scores: np.ndarray, costs: np.ndarray, front: np.ndarray) -> int | None:
    """The place of the knee among all arms; None where the front has none. scores, costs: [A]; front: [n]."""
    order = front[np.argsort(costs[front], kind="stable")]
    if len(np.unique(costs[order])) < 3 or costs[order[0]] <= 0:
        return None
    x, y = np.log(costs[order]), scores[order]
    above = (y - y[0]) / (y[-1] - y[0]) - (x - x[0]) / (x[-1] - x[0])
    best = int(above.argmax())
    return int(order[best]) if above[best] > 0 else None


def _known(summary: ArmSummary) -> bool:
    measured = (summary.score.mean, total_megabytes(summary))
    return all(value is not None and np.isfinite(value) for value in measured)
