"""The probabilities that an arm is better than another, practically the same, or worse.

The posterior of the mean of paired differences that vary like a normal distribution of unknown mean and variance, with
the prior that says least about either (1 / variance): a t distribution about their mean. It is the correlated t test of
Benavoli et al. 2017, "Time for a Change: a Tutorial for Comparing Multiple Classifiers Through Bayesian Analysis". Its
correlation is 0 unless stated: it is for folds whose training sets overlap, where each seed draws its own.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from federated.report.statistics.paired import all_the_same


class Chances(NamedTuple):
    """Probabilities of a mean difference that is better by more than delta, within delta, and worse by more than it."""

    better: float
    equivalent: float
    worse: float


def chances(gains: np.ndarray, delta: float, correlation: float = 0.0) -> Chances | None:
    """Of the mean of the gains [n] of an arm over another, above 0 where it is better.

    None below two seeds, and where all are the same: without spread there is nothing to say how sure it is.
    """
    from scipy.stats import t

    if len(gains) < 2 or not np.isfinite(gains).all() or all_the_same(gains):
        return None
    scale = float(gains.std(ddof=1)) * math.sqrt(1 / len(gains) + correlation / (1 - correlation))
    posterior = t(len(gains) - 1, loc=float(gains.mean()), scale=scale)
    better, worse = float(posterior.sf(delta)), float(posterior.cdf(-delta))
    return Chances(better, max(1.0 - better - worse, 0.0), worse)
