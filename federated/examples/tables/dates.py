"""Dates and times, in texts and in digits: neither a class nor an amount."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

IN_NUMBERS = "turn it into numbers (days since a fixed date, hours) in the file"

_DATE = re.compile(
    r"[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}([T ][0-9:.Z+-]+)?|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4}([ ,]+[0-9:]+)?"
    r"|[0-9]{1,2}[. -]+[^\W\d_]{3,9}\.?[ ,-]+[0-9]{2,4}|[^\W\d_]{3,9}\.? [0-9]{1,2},? [0-9]{4}"
    r"|[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?|[0-9]{4}[-/][0-9]{1,2}|[0-9]{1,2}/[0-9]{4}"
)
_HALF_DAY = re.compile(r"\s*[ap]\.?m\.?$", re.IGNORECASE)
_FIRST, _LAST = 19000101, 21001231


def are_dates(texts: Sequence[str], counts: np.ndarray) -> bool:
    """Whether at least half of the cells are dates or times. counts: cells of each text."""
    dates = sum(count for text, count in zip(texts, counts, strict=True) if _is_date(text))
    return bool(dates > 0 and dates >= counts.sum() / 2)


def are_dates_in_digits(numbers: np.ndarray) -> bool:
    """Whether whole numbers are dates such as 20240131, of several months. numbers: float [N], none missing."""
    values = np.unique(numbers)
    if not len(values) or values[0] < _FIRST or values[-1] > _LAST:
        return False
    months, days = values // 100 % 100, values % 100
    valid = (months >= 1) & (months <= 12) & (days >= 1) & (days <= 31)
    return bool(valid.all()) and len(np.unique(months)) > 1


def _is_date(text: str) -> bool:
    return _DATE.fullmatch(_HALF_DAY.sub("", text.strip())) is not None
