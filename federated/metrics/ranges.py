"""Ranges of values of a metric."""

from __future__ import annotations

import math

Ends = tuple[float, float]
"""The lowest and the highest value."""
SHARE: Ends = (0.0, 1.0)
COUNT: Ends = (0.0, math.inf)
ANY: Ends = (-math.inf, math.inf)
UP_TO_ONE: Ends = (-math.inf, 1.0)
