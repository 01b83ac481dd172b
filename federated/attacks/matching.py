"""Errors of reconstructions against the images behind an update, which come in no order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_LEAST_SHARE = 1e-12
"""Of the squared range: a smaller error is rounding, and counts as 120 dB."""


class Matched(NamedTuple):
    """order: the reconstruction of each image, int64 [n]; squared: the mean squared error of each [n]; psnr: in dB."""

    order: np.ndarray
    squared: np.ndarray
    psnr: np.ndarray


def matched(images: np.ndarray, found: np.ndarray, spread: float) -> Matched:
    """Images [n, ...] and as many reconstructions, matched so that the sum of squared errors is least.

    spread: from the least to the greatest value that a pixel has.
    """
    from scipy.optimize import linear_sum_assignment

    one, other = (part.reshape(len(part), -1).astype(np.float64) for part in (images, found))
    squared = ((one[:, None] - other[None]) ** 2).mean(axis=2)
    _, order = linear_sum_assignment(squared)
    errors = squared[np.arange(len(one)), order]
    return Matched(order, errors, -10 * np.log10(np.maximum(errors / spread**2, _LEAST_SHARE)))
