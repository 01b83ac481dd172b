"""Gaussian noise on the integers."""

from __future__ import annotations

import math

import numpy as np


def discrete_gaussian(deviation: float, count: int, numbers: np.random.Generator) -> np.ndarray:
    """Integers x with probability proportional to exp(-x^2 / (2 deviation^2)), int64 [count].

    By rejection from differences of geometric numbers (Canonne, Kamath and Steinke 2020, "The Discrete Gaussian for
    Differential Privacy", algorithm 3, with its probabilities in 64-bit floating point). For small deviations the
    variance is below deviation^2.
    """
    if not deviation:
        return np.zeros(count, np.int64)
    scale = math.floor(deviation) + 1
    found: list[np.ndarray] = []
    missing = count
    while missing > 0:
        tried = missing + missing // 2 + 16
        first, second = numbers.geometric(-math.expm1(-1 / scale), (2, tried))
        drawn = first - second
        distance = (np.abs(drawn) - deviation**2 / scale) / deviation
        accepted = drawn[numbers.random(tried) < np.exp(-(distance**2) / 2)][:missing]
        found.append(accepted)
        missing -= len(accepted)
    return np.concatenate(found) if found else np.zeros(0, np.int64)
