"""Differences over seeds, a family of them at a time, each with an interval and a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from federated.metrics.names import higher_is_better, range_of_differences
from federated.report.findings.verdicts import Verdict, verdict_of
from federated.report.statistics.by_ranks import RankedScores
from federated.report.statistics.paired import LEVEL, RATE, Interval, holm, within
from federated.report.statistics.two_arms import PairedScores, judged, more_seeds
from federated.study.looks import Looks


class Rules(NamedTuple):
    """How differences are judged, as those of arms are.

    delta: the smallest that matters, in the unit of the metric; 0 where none is known in it, so that only differences
    of nothing at all are none.
    """

    metric: str
    delta: float
    looks: Looks
    robust: bool


class Difference(NamedTuple):
    """A difference over seeds. gain: the estimate, above 0 where it is for the better.

    estimate: in the metric's own direction; interval: at 95 %, of this one alone. p, same_p: of no difference and of
    one of delta or more, corrected for the family by Holm. more_seeds: that would probably decide.
    """

    estimate: float | None
    gain: float | None
    interval: Interval | None
    verdict: Verdict
    seeds: int
    p: float
    same_p: float
    more_seeds: int | None = None

    @property
    def gain_interval(self) -> Interval | None:
        """The interval of the gain, which is above 0 where it is for the better."""
        if self.interval is None or self.gain == self.estimate:
            return self.interval
        return Interval(-self.interval.high, -self.interval.low)


def judged_together(differences: Sequence[np.ndarray], rules: Rules) -> list[Difference]:
    """A family of differences [seeds], which share the error rate."""
    made = RankedScores if rules.robust else PairedScores
    contrasts = [made(np.asarray(each, np.float64)) for each in differences]
    seen = [judged(contrast, rules.delta, rules.looks) for contrast in contrasts]
    p, same_p = holm([each.p for each in seen]), holm([each.same_p for each in seen])
    sign, ends = (1 if higher_is_better(rules.metric) else -1), range_of_differences(rules.metric)
    found = []
    for contrast, each, of_none, of_much in zip(contrasts, seen, p, same_p, strict=True):
        verdict = verdict_of(None if each.estimate is None else sign * each.estimate, of_none, of_much)
        undecided = verdict == "inconclusive"
        found.append(
            Difference(
                estimate=contrast.estimate,
                gain=None if contrast.estimate is None else sign * contrast.estimate,
                interval=within(contrast.interval(LEVEL), ends),
                verdict=verdict,
                seeds=contrast.count,
                p=of_none,
                same_p=of_much,
                more_seeds=more_seeds(contrast, rules.delta, len(contrasts), rules.looks)
                if undecided
                else None,
            )
        )
    return found


_FEWEST = 4
"""Values among which one can be called an outlier: three others, whose spread is known a little."""


def outlying_low(values: Mapping[str, float], delta: float) -> list[str]:
    """The names of values that lie below all others by more than these differ, and by more than delta.

    Grubbs' one-sided test (1950) of each value against all others, as Student's t of the deleted residual, with an
    error rate of 5 % for all of them together. It finds one or few outliers: several alike hide each other.
    """
    from scipy.stats import t

    if len(values) < _FEWEST:
        return []
    found, count = [], len(values)
    for name, value in values.items():
        others = np.array([values[other] for other in values if other != name])
        below, spread = (
            float(others.mean()) - value,
            float(others.std(ddof=1)) * math.sqrt(count / (count - 1)),
        )
        if below > delta and below > spread * float(t.isf(RATE / count, count - 2)):
            found.append(name)
    return found
