"""Every arm against a baseline, seed by seed, with a verdict and its certainty."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from federated.foundation.errors import BadInput
from federated.metrics.names import higher_is_better, range_of_differences
from federated.report.findings.by_seed import BySeed, outcomes_of
from federated.report.findings.results import RunResult, arms_of, candidates, of_one_study, same_partition
from federated.report.statistics.bayes import Chances
from federated.report.statistics.by_ranks import RankedScores, RankedUnpairedScores, centre, outlying
from federated.report.statistics.paired import LEVEL, RATE, ROUNDING, Interval, at_once, holm, within
from federated.report.statistics.two_arms import (
    Contrast,
    Judged,
    PairedScores,
    UnpairedScores,
    judged,
    more_seeds,
)
from federated.study.looks import Looks

Verdict = Literal["better", "worse", "no difference", "no effect", "inconclusive"]

BEST = "best"
"""As the name of a baseline: the arm with the best mean, or by ranks the best estimate of Hodges and Lehmann."""

EVERY_STUDYS_LOOKS = Looks()

DELTA = 0.01
"""The smallest difference that matters, unless the study says otherwise: one percentage point of accuracy."""


@dataclass(frozen=True)
class Paired:
    """One arm against the baseline.

    estimate, interval: arm minus baseline in `metric`, of the means or, by ranks, of Hodges and Lehmann; at 95 %, cut
    at the largest difference that the metric can have; None where there is none. picked: whether the baseline is the
    best arm; the interval is then one of all pairs of arms that hold at once, as the data chose the
    pair, and else that of this arm alone.
    seeds: those that both finished. unpaired: of another study with
    other data or partitions, so compared without regard to seeds, by Welch's tests or by ranks. count: seeds that it
    rests on.
    p, same_p: of no difference, and of one of `delta` or more, of the first `judged` seeds (see `looks`), both after
    division by the look's share of the error rate and Holm's correction over the family. rank_p: without normality,
    of all seeds, not corrected. steady: whether every seed has the same difference. outlying: seeds far from the
    others, where t is what judges. chances: that the arm is better, equivalent or worse, by all seeds, where pairs of
    seeds are judged by t. more_seeds: with the verdict "inconclusive" only; None there means that no look up
    to 200 would probably decide. next_look: the first beyond
    these seeds; last_look: the last of those up to 200; None where there is none.
    """

    arm: str
    baseline: str
    metric: str
    seeds: tuple[int, ...]
    estimate: float | None
    interval: Interval | None
    p: float
    same_p: float
    rank_p: float
    verdict: Verdict
    delta: float
    count: int
    judged: int = 0
    steady: bool = False
    more_seeds: int | None = None
    next_look: int | None = None
    last_look: int | None = None
    unpaired: bool = False
    picked: bool = False
    outlying: tuple[int, ...] = ()
    chances: Chances | None = None


def choose_baseline(
    results: Sequence[RunResult], wanted: str | None = None, *, robust: bool = False
) -> str | None:
    """The arm that is called `wanted`; of "best" the best one, see `BEST`; by default the study's first; no anchor.

    Only an arm with a finished run can be one; None where there is none. Raises BadInput for an unknown arm.
    """
    results = candidates(results)
    scores = {arm: list(outcomes_of(results, arm).scores.values()) for arm in arms_of(results)}
    finished = {arm: centre(np.array(v), robust=robust) for arm, v in scores.items() if v}
    if wanted in scores:
        return wanted if wanted in finished else None  # at the end of a study this must not lose the report
    if wanted not in (None, BEST):
        raise BadInput(f"baseline: {wanted!r} is not an arm; allowed: {', '.join([BEST, *scores])}")
    if not finished or wanted is None:
        return next(iter(finished), None)
    metric = next(result.main_metric for result in results if result.arm == next(iter(finished)))
    comparable = {result.arm for result in results if result.main_metric == metric} & set(finished)
    choose = max if higher_is_better(metric) else min
    return choose((arm for arm in finished if arm in comparable), key=lambda arm: finished[arm])


def compare_paired(
    results: Sequence[RunResult],
    wanted: str | None = None,
    delta: float = DELTA,
    looks: Looks = EVERY_STUDYS_LOOKS,
    *,
    robust: bool = False,
) -> list[Paired]:
    """Every other arm with the same main metric against the baseline, in first-seen order.

    The family of Holm's correction is these comparisons; where the baseline is the best arm, which the data
    chose, it is all pairs of arms. Raises BadInput as `choose_baseline` does, and where delta is not positive.
    """
    if not delta > 0:
        raise BadInput(f"delta: {delta} must be above 0; it is the smallest difference that matters")
    baseline = choose_baseline(results, wanted, robust=robust)
    if baseline is None:
        return []
    results = candidates(results)
    metric = next(result.main_metric for result in results if result.arm == baseline)
    arms = arms_of([result for result in results if result.main_metric == metric])
    outcomes = {arm: outcomes_of(results, arm) for arm in arms}
    pairs = [(arm, baseline) for arm in arms if arm != baseline]
    picked = wanted == BEST and BEST not in arms
    if picked:
        others = [arm for arm, _ in pairs]
        family = _tested([*pairs, *itertools.combinations(others, 2)], outcomes, delta, looks, robust)
    else:
        family = _tested(pairs, outcomes, delta, looks, robust)
    asked = _Asked(metric, delta, looks, len(family), picked)
    return [_paired(outcomes, test, asked) for test in family[: len(pairs)]]


def compare_pairs(
    results: Sequence[RunResult],
    pairs: Sequence[tuple[str, str]],
    metric: str,
    delta: float = DELTA,
    looks: Looks = EVERY_STUDYS_LOOKS,
    *,
    robust: bool = False,
    at_one_time: bool = False,
) -> list[Paired]:
    """Stated pairs (arm, its reference) by any metric that has a better direction; they are one family of tests.

    at_one_time: intervals that all hold at once, for pairs among which the reader will pick by their result.
    """
    scored = [replace(run, main_metric=metric) for run in results]
    outcomes = {arm: outcomes_of(scored, arm) for arm in itertools.chain(*pairs)}
    asked = _Asked(metric, delta, looks, len(pairs), at_one_time)
    return [_paired(outcomes, test, asked) for test in _tested(pairs, outcomes, delta, looks, robust)]


class _Test(NamedTuple):
    """Two arms, the seeds they share, their scores, and both corrected p."""

    arms: tuple[str, str]
    seeds: tuple[int, ...]
    contrast: Contrast
    judged: Judged
    p: float
    same_p: float


class _Asked(NamedTuple):
    """Of every comparison of a family, which has so many."""

    metric: str
    delta: float
    looks: Looks
    comparisons: int
    picked: bool


def _tested(
    pairs: Sequence[tuple[str, str]], outcomes: dict[str, BySeed], delta: float, looks: Looks, robust: bool
) -> list[_Test]:
    """Every pair of a family with p values that are corrected for it. Before the first look p is 1."""
    both = [(outcomes[arm], outcomes[other]) for arm, other in pairs]
    seeds = [tuple(sorted(mine.scores.keys() & theirs.scores.keys())) for mine, theirs in both]
    contrasts = [_contrast(*arms, shared, robust) for arms, shared in zip(both, seeds, strict=True)]
    found = [judged(contrast, delta, looks) for contrast in contrasts]
    p, same_p = holm([each.p for each in found]), holm([each.same_p for each in found])
    return [_Test(*parts) for parts in zip(pairs, seeds, contrasts, found, p, same_p, strict=True)]


def _contrast(mine: BySeed, theirs: BySeed, seeds: Sequence[int], robust: bool) -> Contrast:
    """Paired within a study, at two commits too, as arms share what a seed draws; other studies only on the same
    partitions.
    """
    one_study = of_one_study([*mine.runs.values(), *theirs.runs.values()])
    same_draws = seeds and all(same_partition(mine.runs[seed], theirs.runs[seed]) for seed in seeds)
    if one_study or same_draws:
        made = RankedScores if robust else PairedScores
        return made(np.array([mine.scores[seed] - theirs.scores[seed] for seed in seeds], np.float64))
    unpaired = RankedUnpairedScores if robust else UnpairedScores
    return unpaired(
        *(np.array([arm.scores[seed] for seed in sorted(arm.scores)], np.float64) for arm in (mine, theirs))
    )


def _paired(outcomes: dict[str, BySeed], test: _Test, asked: _Asked) -> Paired:
    (arm, baseline), seeds, contrast, seen, p, same_p = test
    metric, delta, looks, comparisons, picked = asked
    mine, theirs = (outcomes[name].curves for name in test.arms)
    unpaired = isinstance(contrast, UnpairedScores)
    identical = bool(seeds) and not unpaired and all(mine[seed] == theirs[seed] for seed in seeds)
    gain = seen.estimate if seen.estimate is None or higher_is_better(metric) else -seen.estimate
    verdict = "no effect" if identical else verdict_of(gain, p, same_p)
    return Paired(
        arm=arm,
        baseline=baseline,
        metric=metric,
        seeds=seeds,
        estimate=contrast.estimate,
        interval=within(
            contrast.interval(at_once(comparisons) if picked else LEVEL), range_of_differences(metric)
        ),
        p=p,
        same_p=same_p,
        rank_p=contrast.rank_p,
        verdict=verdict,
        delta=delta,
        count=contrast.count,
        judged=seen.seeds,
        steady=contrast.counted,
        more_seeds=more_seeds(contrast, delta, comparisons, looks) if verdict == "inconclusive" else None,
        next_look=looks.next(contrast.count),
        last_look=max(looks.after(contrast.count), default=None),
        unpaired=unpaired,
        picked=picked,
        outlying=_outlying(contrast, seeds, delta),
        chances=contrast.chances(delta, 1 if higher_is_better(metric) else -1),
    )


def _outlying(contrast: Contrast, seeds: Sequence[int], delta: float) -> tuple[int, ...]:
    """The seeds whose difference lies far from that of the others."""
    if not isinstance(contrast, PairedScores) or isinstance(contrast, RankedScores):
        return ()
    return tuple(seeds[at] for at in outlying(contrast.differences, delta))


def verdict_of(gain: float | None, p: float, same_p: float) -> Verdict:
    """gain: how much better the arm is, by the estimate of the seeds that were judged."""
    if gain is None:
        return "inconclusive"
    if same_p < RATE:  # first: a difference too small to matter may still be a certain one
        return "no difference"
    if p < RATE and abs(gain) > ROUNDING:  # ranks leave out seeds that are equal, the estimate does not
        return "better" if gain > 0 else "worse"
    return "inconclusive"
