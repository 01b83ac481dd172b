"""The least noise with which a whole run stays within an epsilon."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from federated.privacy.accounting.accountant import rough, spent

if TYPE_CHECKING:
    from federated.privacy.privacy import Event

_ENOUGH = 0.999
"""Share of the wanted epsilon that is near enough to it."""
_LEAST, _MOST = 1e-3, 1e6
_TRIES = 40
_SAME = 1.0001
"""Two noise multipliers whose ratio is smaller are one."""
_TooMuch = ValueError  # a mechanism that cannot have so much noise says so


def noise_for(event_of: Callable[[float], Event], epsilon: float, delta: float) -> float:
    """The noise multiplier, to a thousandth of epsilon, whose event spends at most this epsilon.

    event_of: noise multiplier -> event. Raises ValueError where no noise does.
    """

    def exactly(noise: float) -> float:
        try:
            return spent(event_of(noise), delta).epsilon
        except _TooMuch:
            return 0.0

    def roughly(noise: float) -> float:
        try:
            bound = rough(event_of(noise), delta)
        except _TooMuch:
            return 0.0
        return exactly(noise) if math.isnan(bound) else bound

    upper, _ = _within(roughly, 1.0, epsilon, 0.9)  # far enough, and cheap
    found, _ = _within(exactly, upper, epsilon, _ENOUGH)
    event_of(found)  # which raises where the mechanism cannot have as much noise as is needed
    return found


def _within(
    epsilon_of: Callable[[float], float], start: float, wanted: float, share: float
) -> tuple[float, float]:
    """(noise, its epsilon) with share * wanted <= epsilon <= wanted, by steps and then by interpolation of logarithms.

    Epsilon falls as noise rises.
    """
    high, low = start, start
    while (at_high := epsilon_of(high)) > wanted:
        low, high = high, 1.5 * high
        if high > _MOST:
            raise ValueError(f"no noise is enough for epsilon {wanted:g}")
    low = low if low < high else high / 1.25
    while (at_low := epsilon_of(low)) <= wanted:
        high, at_high, low = low, at_low, low / 1.25
        if low < _LEAST:
            return high, at_high
    for _ in range(_TRIES):
        if at_high >= share * wanted or high < low * _SAME:
            break
        part = 0.5
        if at_high > 0 and at_low < math.inf:
            goal = math.log(wanted * (1 + share) / 2)  # between the two ends of what is near enough
            part = (goal - math.log(at_high)) / (math.log(at_low) - math.log(at_high))
        middle = math.exp(math.log(high) + min(max(part, 0.05), 0.95) * (math.log(low) - math.log(high)))
        at_middle = epsilon_of(middle)
        if at_middle <= wanted:
            high, at_high = middle, at_middle
        else:
            low, at_low = middle, at_middle
    return high, at_high
