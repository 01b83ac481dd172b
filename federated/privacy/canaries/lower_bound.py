"""A lower bound of epsilon from a test that tells canaries that took part from those that did not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

CONFIDENCE = 0.95
SHARES = (0.975, 0.9, 0.75, 0.5, 0.25, 0.1, 0.05)
"""Of the canaries, from which on a threshold takes one for a participant: chosen before anything is seen."""


def lower_bound(
    seen: np.ndarray,
    log_false_positives: Callable[[np.ndarray], np.ndarray],
    delta: float,
    confidence: float = CONFIDENCE,
) -> float:
    """The epsilon that a mechanism has at least, with this confidence, at `delta`.

    seen: a statistic [k] of each canary that could take part, of a continuous law. log_false_positives: thresholds ->
    the logarithm of at least the probability that a canary that could not has as much.

    A test by a threshold has 1 - misses <= e^epsilon false positives + delta, and 1 - false positives <= e^epsilon
    misses + delta (Kairouz et al. 2015). Thresholds are the canaries' own order statistics of ranks fixed beforehand:
    the misses at the one above j canaries have the law Beta(j + 1, k - j) whatever the statistic's law is, so that its
    quantile is the bound of Clopper and Pearson for j misses of k, and by the union bound all hold together. The
    canaries count as independent, as they are in the limit of many parameters (Andrew et al. 2023, section 4).
    """
    from scipy.special import betaincinv

    count = len(seen)
    below = np.unique([int((1 - share) * count) for share in SHARES])
    certain = 1 - (1 - confidence) / len(below)
    misses = betaincinv(below + 1, count - below, certain)
    false_positives = np.minimum(log_false_positives(np.sort(seen)[below]), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        detected = np.log(1 - misses - delta) - false_positives
        cleared = np.log(1 - np.exp(false_positives) - delta) - np.log(misses)
    return float(np.nanmax([*detected, *cleared, 0.0]))
