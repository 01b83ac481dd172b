"""The epsilon of every client, where each has one of its own by its size and turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from federated.privacy.accounting.accountant import spent
from federated.privacy.privacy import LocalSteps

if TYPE_CHECKING:
    from federated.privacy.privacy import Event

_MOST_SHARES, _MOST_COUNTS = 12, 16
"""Different ones that are accounted for; a distribution is made for each share, which takes most of the time."""


def epsilons_by_client(
    local: LocalSteps, event_of: Callable[[LocalSteps], Event], delta: float, worst: float
) -> np.ndarray:
    """The epsilon of each client, float64 [N], at most `worst`, that of the worst one.

    Exact where clients differ in at most 12 shares and 16 numbers of steps. Of more, those between are rounded up to
    the next of so many quantiles, so that none is too small.
    """
    shares, steps = _rounded_up(local.shares, _MOST_SHARES), _rounded_up(local.steps, _MOST_COUNTS)
    found: dict[tuple[float, int], float] = {}
    for at, pair in enumerate(zip(shares.tolist(), steps.tolist(), strict=True)):
        if pair not in found:
            one = local.of(at)._replace(shares=shares[[at]], steps=steps[[at]])
            found[pair] = min(spent(event_of(one), delta).epsilon, worst) if pair[1] else 0.0
    return np.array([found[pair] for pair in zip(shares.tolist(), steps.tolist(), strict=True)])


def _rounded_up(values: np.ndarray, most: int) -> np.ndarray:
    """The values, each raised to the next of at most so many of them, the largest among them."""
    levels = np.unique(values)
    if len(levels) > most:
        levels = np.unique(levels[np.ceil(np.linspace(0, len(levels) - 1, most)).astype(int)])
    found: np.ndarray = levels[np.searchsorted(levels, values)]
    return found
