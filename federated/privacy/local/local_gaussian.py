"""Local privacy by Gaussian noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from federated.foundation.scales import check_scale
from federated.privacy.clipping import check_norm, clipped
from federated.privacy.local.own_noise import noised, times
from federated.privacy.privacy import Bounded, Memory, Participated, Privacy

if TYPE_CHECKING:
    from dp_accounting import DpEvent

_APART = 2
"""Two updates within a norm are at most so many norms apart."""


def local_gaussian(
    norm: float,
    noise_multiplier: float | None = None,
    epsilon: float | None = None,
    delta: float | None = None,
) -> Privacy:
    """Each client clips its update to `norm`, adds Gaussian noise to it, and sends that.

    State `epsilon` and `delta` of a round that a client takes part in, from which the noise follows exactly (Balle and
    Wang 2018, "Improving the Gaussian Mechanism for Differential Privacy: Analytical Calibration and Optimal
    Denoising"); the classical sqrt(2 ln(1.25 / delta)) / epsilon is proven for epsilon < 1 alone. Or state
    `noise_multiplier`, the standard deviation of each coordinate's noise over `norm` (null where privacy.target_epsilon
    solves for it; 0: no noise and no guarantee).

    The guarantee is towards the server itself: whatever a client's data are, its update lies within `norm`, and any two
    of them are at most 2 `norm` apart. That a client takes part is not hidden. Over rounds it composes by as many as
    one client can take part in; nothing is amplified, as the server sees who sends.
    """
    check_norm(norm)
    multiplier = _multiplier(noise_multiplier, epsilon, delta)

    def bound(memory: Memory, updates: Tensor, numbers: Sequence[np.random.Generator]) -> Bounded:
        deviation = multiplier() * norm
        within, changed = clipped(updates, norm)
        return Bounded(
            noised(within, numbers, lambda own, size: deviation * own.standard_normal(size)), changed
        )

    def guarantee(participated: Participated) -> DpEvent:
        from dp_accounting import GaussianDpEvent

        return times(GaussianDpEvent(multiplier() / _APART), participated.most)

    def noise_ratio(participated: Participated, size: int) -> float:
        return multiplier() * math.sqrt(size / participated.cohort)

    return Privacy(
        bound, guarantee=None if noise_multiplier == 0 else guarantee, unit="update", noise_ratio=noise_ratio
    )


def _multiplier(
    noise_multiplier: float | None, epsilon: float | None, delta: float | None
) -> Callable[[], float]:
    """The deviation over the norm, computed when it is asked for; NaN while it is not known. Raises ValueError."""
    if noise_multiplier is not None:
        if epsilon is not None or delta is not None:
            raise ValueError("state noise_multiplier, or epsilon and delta, not both")
        check_scale("noise_multiplier", noise_multiplier, zero=True)
        return lambda: noise_multiplier
    if epsilon is None and delta is None:
        return lambda: math.nan
    if epsilon is None or delta is None:
        raise ValueError(
            "state both epsilon and delta, such as epsilon=8, delta=1e-5, or noise_multiplier alone"
        )
    check_scale("epsilon", epsilon)
    if not 0 < delta < 1:
        raise ValueError(f"delta must be between 0 and 1, got {delta}")
    return lambda: _APART * _analytic(epsilon, delta)


@cache
def _analytic(epsilon: float, delta: float) -> float:
    """The deviation over the sensitivity."""
    from dp_accounting import get_sigma_gaussian  # imports scipy.stats, which takes a second

    return float(get_sigma_gaussian(epsilon, delta))
