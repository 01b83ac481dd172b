"""The values that a search at random draws: spread evenly over each field's space, and alike in all arms that have it.

Latin hypercube samples (McKay, Beckman and Conover 1979) of ten: of ten trials in a row each has another tenth of the
range of every field, in an order of that field's own. Twenty independent draws leave a gap of a sixth of the range on
average, and every study would have had the same gaps, as draws depend on no seed.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

from federated.foundation.randomness import Purpose, generator
from federated.study.tuning.space import Values

_ORDER, _WITHIN = 1, 2  # keys of Purpose.TUNING
_TOGETHER = 10


def drawn(path: str, values: Values, number: int) -> Any:
    """The value of a field in the trial of this number, from 0."""
    share = _share(zlib.crc32(path.encode()), number)
    if values.listed:
        return values.listed[int(share * len(values.listed))]
    if values.is_whole:
        return int(values.low) + int(share * (values.high - values.low + 1))
    if values.is_log:
        return min(values.low * math.exp(share * math.log(values.high / values.low)), values.high)
    return values.low + share * (values.high - values.low)


def _share(field: int, number: int) -> float:
    """How far through its space, from 0 to below 1. Trial 0 is in no ten, as it mostly has what the study states."""
    ten, place = divmod(number - 1, _TOGETHER)
    part = generator(0, Purpose.TUNING, _ORDER, field, ten + 1).permutation(_TOGETHER)[place]
    return float(part + generator(0, Purpose.TUNING, _WITHIN, field, number).random()) / _TOGETHER
