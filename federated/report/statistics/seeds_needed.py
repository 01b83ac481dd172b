"""The number of further seeds likely to decide, allowing for the uncertainty of mean and spread.

What is unknown is drawn from its posterior under the reference prior (Box and Tiao 1973): the variance of normal scores
is (n - 1) s^2 over a chi-square number, their mean normal about the observed one. With each draw go seeds that have not
been run. The share of draws in which all seeds together decide is the predictive power of a look (Spiegelhalter,
Freedman and Blackburn 1986); the advice is the first look where it is two thirds. A power with the observed mean and
deviation as if they were true promises too much.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from federated.study.looks import Looks

LIKELY = 2 / 3
"""Predicted; what then happens is at least even odds for any one true difference, see tests and benchmark."""

_DRAWS = 1024


class _Moments(NamedTuple):
    """Mean and sample variance of so many seeds, in each draw [_DRAWS]."""

    mean: np.ndarray
    variance: np.ndarray


def paired_look(differences: np.ndarray, delta: float, rate: float, looks: Looks) -> int | None:
    """The first look after these differences [n] that would probably decide, at the level `rate` x its share.

    None where none would. n >= 3, and not all the same.
    """
    from scipy.stats import t

    for look in looks.after(len(differences)):
        seen = _with_new_seeds(differences, look, first=0)
        level, error = rate * looks.share(look), np.sqrt(seen.variance / look)
        if _likely(seen.mean, error, t.isf(level / 2, look - 1), t.isf(level, look - 1), delta):
            return look
    return None


def unpaired_look(
    mine: np.ndarray, theirs: np.ndarray, delta: float, rate: float, looks: Looks
) -> int | None:
    """As `paired_look` of two arms that share no seeds, [n] and [m], by Welch's tests."""
    from scipy.stats import t

    for look in looks.after(min(len(mine), len(theirs))):
        one, other = (_with_new_seeds(arm[:look], look, first) for arm, first in ((mine, 0), (theirs, 4)))
        parts = np.stack([one.variance, other.variance])
        freedom = (look - 1) * parts.sum(axis=0) ** 2 / (parts**2).sum(axis=0)
        level, error = rate * looks.share(look), np.sqrt(parts.sum(axis=0) / look)
        if _likely(one.mean - other.mean, error, t.isf(level / 2, freedom), t.isf(level, freedom), delta):
            return look
    return None


def _likely(
    mean: np.ndarray,
    error: np.ndarray,
    two_sided: np.ndarray | float,
    one_sided: np.ndarray | float,
    delta: float,
) -> bool:
    """Whether most draws decide: they differ, or by less than delta."""
    size = np.abs(mean)
    return bool(np.mean((two_sided * error < size) | (one_sided * error < delta - size)) >= LIKELY)


def _with_new_seeds(values: np.ndarray, count: int, first: int) -> _Moments:
    """Of values [n] and of new ones up to so many, in each draw. first: of four dimensions of the draws."""
    from scipy.stats import chi2, norm

    known, new = len(values), count - len(values)
    mean, squares = float(values.mean()), float(values.var()) * known
    if not new:
        return _Moments(np.full(_DRAWS, mean), np.full(_DRAWS, squares / (known - 1)))
    of_spread, of_mean, of_new, of_new_spread = _draws()[:, first : first + 4].T
    deviation = np.sqrt(squares / chi2.ppf(of_spread, known - 1))
    true_mean = mean + deviation / np.sqrt(known) * norm.ppf(of_mean)
    new_mean = true_mean + deviation / np.sqrt(new) * norm.ppf(of_new)
    new_squares = deviation**2 * (chi2.ppf(of_new_spread, new - 1) if new > 1 else 0.0)
    all_squares = squares + new_squares + known * new / count * (new_mean - mean) ** 2
    return _Moments((known * mean + new * new_mean) / count, all_squares / (count - 1))


@lru_cache(maxsize=1)
def _draws() -> np.ndarray:
    """Numbers between 0 and 1, evenly spread in eight dimensions, [_DRAWS, 8]: Sobol 1967."""
    from scipy.stats.qmc import Sobol

    return np.asarray(Sobol(8, scramble=False).random(_DRAWS)) + 0.5 / _DRAWS
