"""The law of the cosine between a fixed vector and a random direction: what a canary shows that took no part."""

from __future__ import annotations

import numpy as np

_NORMAL_FROM = 1000
_SMALLEST = 1e-290


def log_tail(cosines: np.ndarray, dimension: int) -> np.ndarray:
    """The logarithm of the probability that a random direction has a cosine of at least so much.

    Exact below a thousand dimensions, where the square of the cosine has the law Beta(1/2, (d - 1) / 2); from there the
    normal law of variance 1 / d, as Andrew et al. 2023 have it (section 4), whose tails are heavier: on the safe side.
    """
    from scipy.special import log_ndtr

    if dimension >= _NORMAL_FROM:
        tail: np.ndarray = log_ndtr(-cosines * np.sqrt(dimension))
        return tail
    far = _log_far(np.minimum(np.abs(cosines), 1.0), (dimension - 1) / 2)
    exact: np.ndarray = np.where(cosines >= 0, far - np.log(2), np.log1p(-np.exp(far) / 2))
    return exact


def scores(cosines: np.ndarray, dimension: int) -> np.ndarray:
    """The cosines on the scale on which those of canaries that took no part are standard normal."""
    from scipy.special import ndtri_exp

    if dimension >= _NORMAL_FROM:
        normal: np.ndarray = cosines * np.sqrt(dimension)
        return normal
    found: np.ndarray = -ndtri_exp(log_tail(cosines, dimension))
    return found


def _log_far(sizes: np.ndarray, half: float) -> np.ndarray:
    """The logarithm of the probability that a cosine is at least so far from zero. half: (d - 1) / 2.

    Where it is too small for a number, the first term of its series times a bound of the others, which is above it.
    """
    from scipy.special import betainc, betaln

    rest = 1 - sizes**2
    exact = betainc(half, 0.5, rest)
    tiny = np.maximum(rest, np.finfo(float).tiny)
    bound = half * np.log(tiny) - np.log(np.maximum(sizes, 0.5)) - np.log(half) - betaln(half, 0.5)
    found: np.ndarray = np.where(exact > _SMALLEST, np.log(np.maximum(exact, _SMALLEST)), bound)
    return found
