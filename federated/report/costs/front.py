"""The Pareto front of arms over score, bytes, epsilon and worst clients, and its knee."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from federated.metrics.names import higher_is_better, worst_clients
from federated.report.findings.arms import ArmSummary
from federated.report.findings.results import EPSILON, RunResult
from federated.report.statistics.paired import half_width
from federated.report.text.numbers_as_text import Spread

Problem = tuple[tuple[str, str], ...]
Place = Literal["front", "knee", "dominated", "dominated in the mean"]
UNCOVERED = "own models, not covered by epsilon"
"""In place of the unit of an epsilon that does not cover what an arm's scores are of."""
OF_EXAMPLES = "one example"
"""The beginning of a unit that is less than all that a client has."""
BEHIND: frozenset[Place] = frozenset({"dominated", "dominated in the mean"})
"""Not on the front."""
PLACE_TEXTS: Mapping[Place, str] = {
    "front": "on the front",
    "knee": "on the front, at its knee",
    "dominated": "behind",
    "dominated in the mean": "behind, within noise",
}
"""The places in words, for tables."""


def pareto(
    summaries: Sequence[ArmSummary],
    problems: Mapping[str, Problem] | None = None,
    units: Mapping[str, str] | None = None,
) -> dict[str, Place]:
    """Arm -> its place among the arms with the same main metric and problem.

    By mean score and mean bytes, both ways, and where some arm has them by the score of the worst tenth of the clients
    and by epsilon (none, or scores of own models, which it does not cover: infinite; epsilons of different units,
    clients or single examples, are objectives of their own). An arm is behind where another is as good in all of them
    and in one ahead: in the mean, and simply dominated where some such arm is ahead by more than chance, that is, where
    in neither score do the two 95 % t intervals overlap; bytes and epsilon are counted and no estimates. That asks
    much, as intervals that overlap a little can belong to arms that differ, seed by seed; it never claims what the
    intervals do not show. The knee is the arm of the front with the smallest sum of what it falls short of the best in
    each, scaled from 0 to 1 over the front, bytes by their logarithm, if that is smaller than with each arm that is
    best in one; of score and bytes alone, the arm farthest from the line between the ends. It takes a front of three
    arms. Arms without a score or byte count have no place, nor have anchors, which are no choice. problems: of each
    arm, see `problems_of`; None: all have the same. units: likewise, see `units_of`.
    """
    places: dict[str, Place] = {}
    groups: dict[tuple[str, Problem], list[ArmSummary]] = {}
    for summary in summaries:
        if _known(summary) and not summary.anchor:
            key = (summary.main_metric, (problems or {}).get(summary.arm, ()))
            groups.setdefault(key, []).append(summary)
    for group in groups.values():
        places |= _places(group, units or {})
    return places


def problems_of(results: Sequence[RunResult]) -> dict[str, Problem]:
    """Arm -> its problem: data, clients and held-out shares, which are never chosen to save bytes."""
    return {
        run.arm: tuple(
            (name, str(value))
            for name, value in sorted(run.parameters.items())
            if name.startswith(("dataset", "partitioner", "clients", "holdout"))
        )
        for run in results
    }


def units_of(results: Sequence[RunResult]) -> dict[str, str]:
    """Arm -> whose data its epsilon is about, such as "one client added or removed".

    Empty without a promise; `UNCOVERED` where scores are of clients' own models, which the promise does not cover.
    """
    stated = {
        run.arm: UNCOVERED if run.own_models_not_covered else str(run.parameters["privacy.unit"])
        for run in results
        if "privacy.unit" in run.parameters
    }
    return {run.arm: stated.get(run.arm, "") for run in results}


def total_megabytes(summary: ArmSummary) -> float | None:
    """Mean bytes of a run in both directions, in MB; None where they were not counted."""
    up, down = summary.uplink_mb.mean, summary.downlink_mb.mean
    return None if up is None or down is None else up + down


def _places(summaries: Sequence[ArmSummary], units: Mapping[str, str]) -> dict[str, Place]:
    prices, halves = _prices(summaries, units)
    as_good = np.all(prices[None] <= prices[:, None], axis=2)
    ahead = np.any(prices[None] < prices[:, None], axis=2)
    dominated = np.any(as_good & ahead, axis=1)
    # By more than chance: the other at its worst is as good as this one at its best.
    apart = np.all((prices + halves)[None] <= (prices - halves)[:, None], axis=2)
    surely = np.any(as_good & ahead & apart, axis=1)
    knee = _knee(prices, np.flatnonzero(~dominated))

    def place(at: int) -> Place:
        if dominated[at]:
            return "dominated" if surely[at] else "dominated in the mean"
        return "knee" if at == knee else "front"

    return {summary.arm: place(at) for at, summary in enumerate(summaries)}


def _prices(summaries: Sequence[ArmSummary], units: Mapping[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """The objectives of each arm, lower is better: score, MB, and further measured ones; with their uncertainty.

    Both [A, objectives]; the second is half the width of the 95 % interval, infinite where the seeds give none, and 0
    of counts and of what is not known at all.
    """
    metric = summaries[0].main_metric
    columns = [_costs(summaries, metric), [total_megabytes(summary) for summary in summaries]]
    halves = [_halves(summaries, metric), [0.0] * len(summaries)]
    logged = {name for summary in summaries for name in summary.secondary}
    worst = worst_clients(metric, logged)
    of_worst = _costs(summaries, worst)
    if any(_is_known(cost) for cost in of_worst):
        columns.append(of_worst)
        halves.append(_halves(summaries, worst))
    spent = _costs(summaries, EPSILON)
    kinds = [units.get(summary.arm, "") for summary in summaries]
    found = dict.fromkeys(kind for kind, cost in zip(kinds, spent, strict=True) if _is_known(cost))
    for kind in (each for each in found if each != UNCOVERED):
        columns.append([cost if other == kind else None for other, cost in zip(kinds, spent, strict=True)])
        halves.append([0.0] * len(summaries))
    known = [[np.inf if cost is None or np.isnan(cost) else cost for cost in costs] for costs in columns]
    prices = np.array(known, np.float64).T
    return prices, np.where(np.isfinite(prices), np.array(halves, np.float64).T, 0.0)


def _is_known(cost: float | None) -> bool:
    return cost is not None and bool(np.isfinite(cost))


def _costs(summaries: Sequence[ArmSummary], name: str) -> list[float | None]:
    """The mean of a final metric of each arm, turned so that less is better."""
    sign = -1 if higher_is_better(name) else 1
    spreads = [_spread_of(summary, name) for summary in summaries]
    return [None if cell is None or cell.mean is None else sign * cell.mean for cell in spreads]


def _halves(summaries: Sequence[ArmSummary], name: str) -> list[float]:
    """Half the width of the interval of a final metric of each arm; infinite where its seeds give none."""
    spreads = [_spread_of(summary, name) for summary in summaries]
    widths = [
        None if cell is None or cell.sd is None else half_width(cell.sd, cell.count) for cell in spreads
    ]
    return [np.inf if width is None else width for width in widths]


def _spread_of(summary: ArmSummary, name: str) -> Spread | None:
    return summary.score if name == summary.main_metric else summary.secondary.get(name)


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
