"""Every arm against a baseline, seed by seed, with a verdict that says how sure it is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from federated.errors import BadInput
from federated.evaluation import higher_is_better
from federated.report.results import RunResult, arms_of, candidates
from federated.report.statistics import (
    LEVEL,
    Interval,
    difference_p,
    equivalence_p,
    holm,
    more_seeds,
    rank_p,
    t_interval,
)
from federated.state import Metrics

Verdict = Literal["better", "worse", "no difference", "no effect", "inconclusive"]

BEST = "best"
"""As the name of a baseline: the arm with the best mean."""

DELTA = 0.01
"""The smallest difference that matters, unless the study says otherwise: one percentage point of accuracy."""

FEWEST_SEEDS = 3
"""Below, nothing is called better, worse or the same: two differences that happen to agree are no evidence."""

_OF_THE_MODEL = ("generalisation/", "train/loss")


@dataclass(frozen=True)
class Paired:
    """One arm against the baseline.

    differences: arm minus baseline in `metric`, for each of `seeds` that both finished. interval: of their
    mean, at 95 %, for this arm alone. p, same_p: of no difference, and of one of `delta` or more, both after
    Holm's correction over the family. rank_p: exact and without normality, not corrected. more_seeds: with the
    verdict "inconclusive" only; None there means more than 200.
    """

    arm: str
    baseline: str
    metric: str
    seeds: tuple[int, ...]
    differences: np.ndarray
    interval: Interval | None
    p: float
    same_p: float
    rank_p: float
    verdict: Verdict
    delta: float
    more_seeds: int | None = None

    @property
    def mean(self) -> float | None:
        """The mean difference; None without a shared seed."""
        return float(self.differences.mean()) if len(self.differences) else None


def choose_baseline(results: Sequence[RunResult], wanted: str | None = None) -> str | None:
    """The arm that is called `wanted`; of "best" the one with the best mean; by default the study's first; no anchor.

    Only an arm with a finished run can be one; None where there is none. Raises BadInput for an unknown arm.
    """
    results = candidates(results)
    scores = {arm: list(_scores(results, arm).values()) for arm in arms_of(results)}
    finished = {arm: float(np.mean(values)) for arm, values in scores.items() if values}
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
    results: Sequence[RunResult], wanted: str | None = None, delta: float = DELTA
) -> list[Paired]:
    """Every other arm with the same main metric against the baseline, in first-seen order.

    The family of Holm's correction is these comparisons; where the baseline is the best arm, which the data
    chose, it is all pairs of arms. Raises BadInput as `choose_baseline` does, and where delta is not positive.
    """
    if not delta > 0:
        raise BadInput(f"delta: {delta} must be above 0; it is the smallest difference that matters")
    baseline = choose_baseline(results, wanted)
    if baseline is None:
        return []
    results = candidates(results)
    metric = next(result.main_metric for result in results if result.arm == baseline)
    arms = arms_of([result for result in results if result.main_metric == metric])
    outcomes = {arm: _Outcomes(_scores(results, arm), curves_by_seed(results, arm)) for arm in arms}
    pairs = [(arm, baseline) for arm in arms if arm != baseline]
    if wanted == BEST and BEST not in arms:
        others = [arm for arm, _ in pairs]
        family = _tested([*pairs, *itertools.combinations(others, 2)], outcomes, delta)
    else:
        family = _tested(pairs, outcomes, delta)
    return [_paired(outcomes, test, metric, delta, len(family)) for test in family[: len(pairs)]]


class _Outcomes(NamedTuple):
    """Of the finished runs of an arm, by seed: the final score, and all that was measured of the model."""

    scores: dict[int, float]
    curves: dict[int, list[tuple[int, Metrics]]]


class _Test(NamedTuple):
    """Two arms, the seeds they share, their differences, and both corrected p."""

    arms: tuple[str, str]
    seeds: tuple[int, ...]
    differences: np.ndarray
    p: float
    same_p: float


def _tested(pairs: Sequence[tuple[str, str]], outcomes: dict[str, _Outcomes], delta: float) -> list[_Test]:
    """Every pair of a family with p values that are corrected for it. Without two shared seeds p is 1."""
    scores = [(outcomes[arm].scores, outcomes[other].scores) for arm, other in pairs]
    seeds = [tuple(sorted(mine.keys() & theirs.keys())) for mine, theirs in scores]
    differences = [
        np.array([mine[seed] - theirs[seed] for seed in shared], np.float64)
        for (mine, theirs), shared in zip(scores, seeds, strict=True)
    ]
    p = holm([difference_p(values) for values in differences])
    same_p = holm([equivalence_p(values, delta) for values in differences])
    return [_Test(*parts) for parts in zip(pairs, seeds, differences, p, same_p, strict=True)]


def _paired(
    outcomes: dict[str, _Outcomes], test: _Test, metric: str, delta: float, comparisons: int
) -> Paired:
    (arm, baseline), seeds, differences, p, same_p = test
    mine, theirs = (outcomes[name].curves for name in test.arms)
    gains = differences if higher_is_better(metric) else -differences
    identical = bool(seeds) and all(mine[seed] == theirs[seed] for seed in seeds)
    verdict = "no effect" if identical else _verdict(gains, p, same_p)
    return Paired(
        arm=arm,
        baseline=baseline,
        metric=metric,
        seeds=seeds,
        differences=differences,
        interval=t_interval(differences),
        p=p,
        same_p=same_p,
        rank_p=rank_p(differences),
        verdict=verdict,
        delta=delta,
        more_seeds=more_seeds(differences, delta, comparisons) if verdict == "inconclusive" else None,
    )


def _verdict(gains: np.ndarray, p: float, same_p: float) -> Verdict:
    """gains: how much better the arm is, seed by seed."""
    if len(gains) < FEWEST_SEEDS:
        return "inconclusive"
    if same_p < 1 - LEVEL:  # first: a difference too small to matter may still be a certain one
        return "no difference"
    if p < 1 - LEVEL:
        return "better" if gains.mean() > 0 else "worse"
    return "inconclusive"


def _scores(results: Sequence[RunResult], arm: str) -> dict[int, float]:
    """Seed -> final main metric of the finished runs of an arm; what is not finite is no score."""
    finals = {run.seed: run.final(run.main_metric) for run in results if run.arm == arm and run.finished}
    return {seed: value for seed, value in finals.items() if value is not None and np.isfinite(value)}


def curves_by_seed(results: Sequence[RunResult], arm: str) -> dict[int, list[tuple[int, Metrics]]]:
    """Seed -> all that was measured of the model, round by round: equal to the bit where nothing differs."""
    return {
        run.seed: [
            (at, {name: value for name, value in metrics.items() if name.startswith(_OF_THE_MODEL)})
            for at, metrics in run.history
        ]
        for run in results
        if run.arm == arm and run.finished
    }


def paired_table(pairs: Sequence[Paired]) -> dict[str, list[Any]]:
    """The comparison as columns of plain values, None where there is none; one row an arm."""
    return {
        "arm": [pair.arm for pair in pairs],
        "baseline": [pair.baseline for pair in pairs],
        "metric": [pair.metric for pair in pairs],
        "shared seeds": [len(pair.seeds) for pair in pairs],
        "difference": [pair.mean for pair in pairs],
        "low": [pair.interval and pair.interval.low for pair in pairs],
        "high": [pair.interval and pair.interval.high for pair in pairs],
        "p (t, Holm)": [pair.p for pair in pairs],
        "p (equivalence, Holm)": [pair.same_p for pair in pairs],
        "p (exact)": [pair.rank_p for pair in pairs],
        "verdict": [pair.verdict for pair in pairs],
        "more seeds": [pair.more_seeds for pair in pairs],
    }
