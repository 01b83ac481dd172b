"""The epsilon that tells two normal laws apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_HALVINGS = 200


class Ratio(NamedTuple):
    """The logarithm of a ratio of two normal densities, square y^2 + linear y + constant."""

    square: float
    linear: float
    constant: float


def epsilon_apart(shift: float, deviation: float, delta: float) -> float:
    """The smallest epsilon at which N(0, 1) and N(shift, deviation^2) are (epsilon, delta)-indistinguishable.

    Balle and Wang 2018, theorem 5: delta of an epsilon is P(ratio > epsilon) - e^epsilon Q(ratio > epsilon), in the
    worse of the two directions. With deviation 1 it is that of the Gaussian mechanism of noise multiplier 1 / shift.
    Zero where the second law is not above the first.
    """
    if shift <= 0:
        return 0.0
    ratio = Ratio(
        (1 - deviation**-2) / 2, shift * deviation**-2, -((shift / deviation) ** 2) / 2 - np.log(deviation)
    )
    low, high = 0.0, 1.0
    if _log_delta(low, ratio, shift, deviation) <= np.log(delta):
        return 0.0
    while _log_delta(high, ratio, shift, deviation) > np.log(delta):
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _log_delta(middle, ratio, shift, deviation) > np.log(delta):
            low = middle
        else:
            high = middle
    return high


def _log_delta(epsilon: float, ratio: Ratio, shift: float, deviation: float) -> float:
    """log delta: ratio is of the second law over the first."""
    negated = Ratio(*(-part for part in ratio))
    apart = []
    for found, above, below in (
        (ratio, (shift, deviation), (0.0, 1.0)),
        (negated, (0.0, 1.0), (shift, deviation)),
    ):
        more, less = (_log_mass(found, epsilon, *law) for law in (above, below))
        if epsilon + less < more:
            apart.append(more + np.log(-np.expm1(epsilon + less - more)))
    return max(apart, default=-np.inf)


def _log_mass(ratio: Ratio, least: float, mean: float, deviation: float) -> float:
    """The logarithm of the probability under N(mean, deviation^2) that the ratio is above `least`."""
    if ratio.square == 0:
        return _log_above((least - ratio.constant) / ratio.linear, mean, deviation, ratio.linear)
    inside = ratio.linear**2 - 4 * ratio.square * (ratio.constant - least)
    if inside <= 0:
        return 0.0 if ratio.square > 0 else -np.inf
    middle, half = -ratio.linear / (2 * ratio.square), np.sqrt(inside) / abs(2 * ratio.square)
    below = _log_above(middle - half, mean, deviation, -1.0)
    above = _log_above(middle + half, mean, deviation, 1.0)
    if ratio.square > 0:
        return float(np.logaddexp(below, above))
    return _log_between(middle - half, middle + half, mean, deviation)


def _log_above(bound: float, mean: float, deviation: float, sign: float) -> float:
    """log P(Y > bound), with a negative sign log P(Y < bound)."""
    from scipy.special import log_ndtr

    return float(log_ndtr(np.sign(sign) * (mean - bound) / deviation))


def _log_between(low: float, high: float, mean: float, deviation: float) -> float:
    """log P(low < Y < high), by the tails on whose side both are."""
    from scipy.special import log_ndtr

    one, other = (low - mean) / deviation, (high - mean) / deviation
    if one > 0:
        one, other = -other, -one
    outer, inner = float(log_ndtr(other)), float(log_ndtr(one))
    return outer + float(np.log(-np.expm1(inner - outer))) if inner < outer else -np.inf
