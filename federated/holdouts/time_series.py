"""Signs that examples are a time series, of which a random split tells too little."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from federated.examples.examples import Examples
from federated.examples.tables.dates import are_dates, are_dates_in_digits

_LOOKED_AT = 5_000
"""Rows from the beginning: enough to see an order in."""
_MOST_COLUMNS = 200
_FEWEST_STEPS = 20
_RISING = 0.8
"""Share of the steps from row to row; of numbers in no order about half rise."""
_COUNTERS = re.compile(r"(^|[_ .-])(id|index|idx|row|no|nr|number|key)$|^unnamed", re.IGNORECASE)


class Sign(NamedTuple):
    """reason: why it looks like a time series. instead: what to state in the study file."""

    reason: str
    instead: str


def sign_of_time(examples: Examples) -> Sign | None:
    """The first sign that rows are in time: windows of recordings, a column of dates, numbers that rise like time
    stamps at each client; None where there is none."""
    if examples.name == "windows":
        return Sign(
            "neighbouring windows of recordings",
            "holdout.by: groups(recording) keeps recordings whole, time(window, within=recording) tests on their ends",
        )
    within = "" if examples.client_ids is None else ", within=client"
    for name, values in _columns(examples):
        reason = _reason(values, examples.client_ids)
        if reason:
            written = name if re.fullmatch(r"[A-Za-z_]\w*", name) else repr(name)
            rule = f"time({written}{within})"
            return Sign(f"column {name!r}: {reason}", f"holdout.by: {rule} tests on what comes later")
    return None


def _columns(examples: Examples) -> list[tuple[str, pd.Series[Any]]]:
    table = examples.properties if examples.properties is not None else examples.inputs
    if isinstance(table, np.ndarray):
        if table.ndim != 2 or table.dtype.kind != "f":
            return []
        table = pd.DataFrame(table[:_LOOKED_AT, :_MOST_COLUMNS])
    head = table.iloc[:_LOOKED_AT, :_MOST_COLUMNS]
    return [(str(name), head.iloc[:, at]) for at, name in enumerate(head.columns)]


def _reason(values: pd.Series[Any], ids: np.ndarray | None) -> str:
    present = values.dropna()
    if present.dtype.kind == "M" or isinstance(present.dtype, pd.DatetimeTZDtype | pd.PeriodDtype):
        return "dates"
    if present.dtype.kind in "iuf" and len(present) == len(values):
        numbers = present.to_numpy(np.float64)
        if np.isfinite(numbers).all() and are_dates_in_digits(numbers):
            return "dates"
        counter = _COUNTERS.search(str(values.name)) or (np.diff(numbers) == 1).all()
        return "" if counter else _rises(numbers, None if ids is None else ids[: len(numbers)])
    if present.dtype == object or pd.api.types.is_string_dtype(present.dtype):
        counts = present.astype(str).value_counts()
        return "dates" if len(counts) > 1 and are_dates(list(counts.index), counts.to_numpy()) else ""
    return ""


def _rises(numbers: np.ndarray, ids: np.ndarray | None) -> str:
    """Whether the numbers rise from row to row, at each client by itself."""
    steps = np.diff(numbers)
    if ids is not None:
        order = np.argsort(ids, kind="stable")
        steps = np.diff(numbers[order])[ids[order][1:] == ids[order][:-1]]
    if len(steps) < _FEWEST_STEPS or (share := float((steps > 0).mean())) < _RISING:
        return ""
    where = "" if ids is None else " within clients"
    return f"rises in {100 * share:.0f} % of the steps from row to row{where}"
