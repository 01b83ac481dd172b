"""The share of the gap between local and centralised training that an arm closes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from federated.config.training import ANCHORS, Anchor
from federated.metrics.names import higher_is_better, range_of_differences
from federated.report.findings.results import RunResult, arms_of, candidates
from federated.report.findings.verdicts import DELTA
from federated.report.statistics.paired import LEVEL, Interval, all_the_same, t_interval, within

_FEWEST_SEEDS = 3
"""Below, a t test has no power worth the name: the anchors' differences are held against a fixed size instead."""


class GapClosed(NamedTuple):
    """The share of the gap between its anchors that an arm closes, over the `seeds` that all three finished.

    share: (arm - local) / (centralised - local), each the mean over the seeds; None where the anchors do not differ by
    more than noise. sd: of the share over seeds, linearised: of arm - local - share * (centralised - local), over the
    mean gap; None below two seeds. interval: of the share, at 95 %, see `fieller`. gap: by how much
    centralised is better than local, the mean; below 0 it is worse. ends: its own interval. Both are None without a
    shared seed.
    """

    arm: str
    seeds: tuple[int, ...]
    share: float | None
    sd: float | None
    interval: Interval | None
    gap: float | None
    ends: Interval | None


def gap_closed(
    results: Sequence[RunResult], level: float = LEVEL, delta: float = DELTA
) -> dict[str, GapClosed]:
    """Arm -> the share of its anchors' gap that it closes in the main metric: 0 = local, 1 = centralised.

    The ratio of the means over the seeds: in a mean of the seeds' ratios, one seed with a tiny gap outweighs all
    others. It may be above 1 and below 0. There is a share where centralised training is better than local with every
    seed and, from three seeds, by a one-sided t test at 5 %; below, by more than delta, the smallest difference that
    matters, with each. Arms without both anchors are left out. level: of the shares' intervals.
    """
    closed = {}
    for arm in arms_of(candidates(results)):
        runs = [run for run in results if run.arm == arm]
        scores = {anchor: _scores(_anchor_of(results, runs[0], anchor)) for anchor in ANCHORS}
        if runs[0].anchor_key and all(scores.values()):
            closed[arm] = _closed(runs, scores, level, delta)
    return closed


def _closed(
    runs: Sequence[RunResult], scores: dict[Anchor, dict[int, float]], level: float, delta: float
) -> GapClosed:
    own, centralised, local = _scores(runs), scores["centralised"], scores["local"]
    seeds = tuple(sorted(own.keys() & centralised.keys() & local.keys()))
    metric = runs[0].main_metric
    sign = 1 if higher_is_better(metric) else -1
    gaps = np.array([sign * (centralised[seed] - local[seed]) for seed in seeds], np.float64)
    gained = np.array([sign * (own[seed] - local[seed]) for seed in seeds], np.float64)
    differ = _differ(gaps, delta)
    share = float(gained.mean() / gaps.mean()) if differ else None
    return GapClosed(
        arm=runs[0].arm,
        seeds=seeds,
        share=share,
        sd=None if share is None or len(seeds) < 2 else _sd(gained, gaps, share),
        interval=fieller(gained, gaps, level) if differ else None,
        gap=float(gaps.mean()) if len(gaps) else None,
        ends=within(t_interval(gaps), range_of_differences(metric)),
    )


def _sd(gained: np.ndarray, gaps: np.ndarray, share: float) -> float:
    """Of the share over seeds, by the residuals of a ratio of means: Cochran 1977, "Sampling Techniques", chapter 6."""
    return float((gained - share * gaps).std(ddof=1) / gaps.mean())


def fieller(gained: np.ndarray, gaps: np.ndarray, level: float = LEVEL) -> Interval | None:
    """Interval of mean(gained) / mean(gaps), both [n] and paired: Fieller 1954.

    All ratios r for which a paired t test does not tell gained from r * gaps. From minus to plus infinity where the
    gaps' own interval holds 0: with other seeds there might be no gap. None below two seeds and where every seed has
    the same ratio: an interval of no width would claim certainty.
    """
    from scipy.stats import t

    if len(gaps) < 2 or all_the_same(gained - gained.mean() / gaps.mean() * gaps):
        return None
    factor = float(t.ppf((1 + level) / 2, len(gaps) - 1)) ** 2 / len(gaps)
    of_gained, both, of_gaps = np.cov(gained, gaps)[[0, 0, 1], [0, 1, 1]]
    # The ends are the roots of square * r^2 - 2 * middle * r + rest.
    square = gaps.mean() ** 2 - factor * of_gaps
    if square <= 0:
        return Interval(-math.inf, math.inf)
    middle = gained.mean() * gaps.mean() - factor * both
    rest = gained.mean() ** 2 - factor * of_gained
    half = math.sqrt(max(middle**2 - square * rest, 0.0))
    return Interval(float(middle - half) / float(square), float(middle + half) / float(square))


def _differ(gaps: np.ndarray, delta: float) -> bool:
    """Whether centralised training is better than local by more than noise; which of them should be better is known."""
    if not len(gaps) or gaps.min() <= 0:
        return False
    if len(gaps) < _FEWEST_SEEDS:
        return bool(gaps.min() > delta)
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
