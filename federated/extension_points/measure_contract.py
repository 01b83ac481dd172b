"""The contract of a user-defined measure, whose value is checked at every call."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from federated.extension_points.returned import found_text
from federated.foundation.errors import OwnCodeFailed
from federated.metrics.measures import Measure
from federated.user_code.containment import contained


def held_measure(name: str, measure: Measure) -> Measure:
    """A measure whose value is a number, or NaN where it is undefined. It raises OwnCodeFailed otherwise."""
    what = f"evaluation.metric: {name}"

    def value(*arrays: np.ndarray) -> float:
        with contained(f"{what} fails"):
            found: Any = measure.value(*(array.copy() for array in arrays))
        if isinstance(found, np.ndarray) and found.shape == ():
            found = found[()]
        if isinstance(found, bool) or not isinstance(found, Real):
            raise OwnCodeFailed(f"{what} must return a number, got {found_text(found)}")
        low, high = measure.ends
        if not (np.isnan(float(found)) or low <= float(found) <= high) or np.isinf(float(found)):
            raise OwnCodeFailed(
                f"{what} must return a finite number between {low:g} and {high:g}, or NaN where it is undefined; got "
                f"{float(found):g}"
            )
        return float(found)

    return measure._replace(value=value)
