"""Which arms are worth their price: the Pareto front over score, bytes, epsilon and worst clients, and its knee."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from federated.evaluation import higher_is_better
from federated.report.comparison import ArmSummary
from federated.report.results import EPSILON, WORST_CLIENTS, RunResult

Problem = tuple[tuple[str, str], ...]
Place = Literal["front", "knee", "dominated"]


def pareto(
    summaries: Sequence[ArmSummary], problems: Mapping[str, Problem] | None = None
) -> dict[str, Place]:
    """Arm -> its place among the arms with the same main metric and problem.

    By mean score and mean bytes, both ways, and where some arm has them by epsilon (none: infinite) and by the score
    of the worst tenth of the clients. An arm is dominated where another is as good in all of them and in one ahead.
    The knee is the arm of the front with the smallest sum of what it falls short of the best in each, scaled from 0
    to 1 over the front, bytes by their logarithm, if that is smaller than with each arm that is best in one; of score
    and bytes alone, the arm farthest from the line between the ends. It takes a front of three arms. Arms without a
    score or byte count have no place, nor have anchors, which are no choice. problems: of each arm, see
    `problems_of`; None: all have the same.
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
    prices = _prices(summaries)
    as_good = np.all(prices[None] <= prices[:, None], axis=2)
    ahead = np.any(prices[None] < prices[:, None], axis=2)
    dominated = np.any(as_good & ahead, axis=1)
    knee = _knee(prices, np.flatnonzero(~dominated))
    return {
        summary.arm: "dominated" if dominated[at] else "knee" if at == knee else "front"
        for at, summary in enumerate(summaries)
    }


def _prices(summaries: Sequence[ArmSummary]) -> np.ndarray:
    """What every arm is judged by, [A, objectives], the smaller the better: score, MB, and what else was measured."""
    columns = [
        _costs(summaries, summaries[0].main_metric),
        [total_megabytes(summary) for summary in summaries],
    ]
    for name in (*WORST_CLIENTS, EPSILON):
        costs = _costs(summaries, name)
        if any(cost is not None and np.isfinite(cost) for cost in costs):
            columns.append(costs)
    known = [[np.inf if cost is None or np.isnan(cost) else cost for cost in costs] for costs in columns]
    return np.array(known, np.float64).T


def _costs(summaries: Sequence[ArmSummary], name: str) -> list[float | None]:
    """The mean of a final metric of each arm, turned so that less is better."""
    sign = -1 if name != EPSILON and higher_is_better(name) else 1
    spreads = [
        summary.score if name == summary.main_metric else summary.secondary.get(name) for summary in summaries
    ]
    return [None if cell is None or cell.mean is None else sign * cell.mean for cell in spreads]


def _knee(prices: np.ndarray, front: np.ndarray) -> int | None:
    """The place of the knee among all arms; None where the front has none. prices: [A, objectives]; front: [n]."""
    on_it = prices[front].copy()
    if len(np.unique(on_it[:, 1])) < 3 or on_it[:, 1].min() <= 0:
        return None
    on_it[:, 1] = np.log(on_it[:, 1])
    on_it[~np.isfinite(on_it)] = np.nan
    lowest, range_ = np.nanmin(on_it, axis=0), np.nanmax(on_it, axis=0) - np.nanmin(on_it, axis=0)
    # What is infinite, or unknown, is as far from the best as can be.
    short = np.nan_to_num((on_it - lowest) / np.where(range_ > 0, range_, 1.0), nan=1.0)
    sums = short.sum(axis=1)
    best = int(sums.argmin())
    ends = [sums[column == 0].min() for column in short.T if column.any()]
    return int(front[best]) if sums[best] < min(ends) else None


def _known(summary: ArmSummary) -> bool:
    measured = (summary.score.mean, total_megabytes(summary))
    return all(value is not None and np.isfinite(value) for value in measured)
