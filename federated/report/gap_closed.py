"""How far an arm gets from clients alone to all examples in one place: the share of the anchors' gap that it closes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from federated.evaluation import higher_is_better
from federated.report.results import RunResult, arms_of, candidates
from federated.report.statistics import LEVEL, Interval, t_interval
from federated.without_server import ANCHORS, Anchor

_FEWEST_SEEDS = 3
"""Below, a t test has no power worth the name: the anchors' differences are held against a fixed size instead."""

FEW_SEEDS_GAP = 0.01
"""One percentage point of accuracy: what counts as noise where there are too few seeds to estimate it."""


class GapClosed(NamedTuple):
    """shares [n]: (arm - local) / (centralised - local) for each of `seeds` that all three finished; empty where
    the anchors do not differ by more than noise. interval: of the mean share, at 95 %. gap: the mean of centralised
    - local; ends: its own interval. Both are None without a shared seed.
    """

    arm: str
    seeds: tuple[int, ...]
    shares: np.ndarray
    interval: Interval | None
    gap: float | None
    ends: Interval | None

    @property
    def mean(self) -> float | None:
        """The mean share; None where there is none."""
        return float(self.shares.mean()) if len(self.shares) else None


def gap_closed(results: Sequence[RunResult]) -> dict[str, GapClosed]:
    """Arm -> the share of its anchors' gap that it closes in the main metric: 0 = local, 1 = centralised.

    Seed by seed, then mean and t interval over the seeds. It may be above 1 and below 0. There is a share where
    centralised training is better than local with every seed and, from three seeds, by a one-sided t test at 5 %;
    below, by more than 0.01 with each. Arms without both anchors are left out.
    """
    closed = {}
    for arm in arms_of(candidates(results)):
        runs = [run for run in results if run.arm == arm]
        scores = {anchor: _scores(_anchor_of(results, runs[0], anchor)) for anchor in ANCHORS}
        if runs[0].anchor_key and all(scores.values()):
            closed[arm] = _closed(runs, scores)
    return closed


def _closed(runs: Sequence[RunResult], scores: dict[Anchor, dict[int, float]]) -> GapClosed:
    own, centralised, local = _scores(runs), scores["centralised"], scores["local"]
    seeds = tuple(sorted(own.keys() & centralised.keys() & local.keys()))
    sign = 1 if higher_is_better(runs[0].main_metric) else -1
    gaps = np.array([sign * (centralised[seed] - local[seed]) for seed in seeds], np.float64)
    gained = np.array([sign * (own[seed] - local[seed]) for seed in seeds], np.float64)
    shares = gained / gaps if _differ(gaps) else np.empty(0)
    return GapClosed(
        arm=runs[0].arm,
        seeds=seeds,
        shares=shares,
        interval=t_interval(shares),
        gap=float(gaps.mean()) if len(gaps) else None,
        ends=t_interval(gaps),
    )


def _differ(gaps: np.ndarray) -> bool:
    """Whether centralised training is better than local by more than noise; which of them should be better is known."""
    if not len(gaps) or gaps.min() <= 0:
        return False
    if len(gaps) < _FEWEST_SEEDS:
        return bool(gaps.min() > FEW_SEEDS_GAP)
    one_sided = t_interval(gaps, level=2 * LEVEL - 1)
    return one_sided is None or one_sided.low > 0  # no interval: the same difference with every seed


def _anchor_of(results: Sequence[RunResult], run: RunResult, anchor: Anchor) -> list[RunResult]:
    return [
        other
        for other in results
        if other.anchor == anchor
        and other.anchor_key == run.anchor_key
        and other.main_metric == run.main_metric
    ]


def _scores(runs: Sequence[RunResult]) -> dict[int, float]:
    """Seed -> final main metric of the finished runs; what is not finite is no score."""
    finals = {run.seed: run.final(run.main_metric) for run in runs if run.finished}
    return {seed: value for seed, value in finals.items() if value is not None and np.isfinite(value)}
