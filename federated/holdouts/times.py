"""The order in time of examples, from a column of dates, times or numbers."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from federated.examples.examples import Examples
from federated.foundation.texts import quoted
from federated.holdouts.columns import column_of, refuse_missing

_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?(\s*[ap]\.?m\.?)?", re.IGNORECASE)
_NUMERIC = re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4}|[0-9]{2})(?:[ ,]+(.*))?")
_SIX_DIGITS = re.compile(r"[0-9]{6}")
_MONTH_FIRST = re.compile(r"[0-9]{1,2}/[0-9]{4}")
_ISO = re.compile(r"[0-9]{4}([-/.])[0-9]{1,2}(\1[0-9]{1,2}([T ].*)?)?")
_EXAMPLE = 'state `format`, such as "%d/%m/%Y"'


def time_ranks(examples: Examples, name: str, written: str | None = None) -> np.ndarray:
    """The place of each example's time among the distinct times of a column, int64 [N]; equal for equal times.

    written: the format of times in text, as `datetime.strptime` takes it. Raises ValueError where a time is missing or
    cannot be read.
    """
    values = column_of(examples, name)
    refuse_missing(name, values.isna().to_numpy())
    times = _times(name, values, written)
    return np.unique(np.asarray(times), return_inverse=True)[1].astype(np.int64)


def _times(name: str, values: pd.Series[Any], written: str | None) -> Any:
    if pd.api.types.is_bool_dtype(values.dtype):
        raise ValueError(f"the column {name!r} holds true and false, which are no times")
    if written is None and pd.api.types.is_numeric_dtype(values.dtype):
        return values.to_numpy(np.float64) if values.dtype.kind == "f" else values.to_numpy()
    if isinstance(values.dtype, pd.PeriodDtype):
        values = values.dt.to_timestamp()
    if values.dtype.kind in "mM" or isinstance(values.dtype, pd.DatetimeTZDtype):
        return values.to_numpy(dtype=np.int64) if values.dtype.kind == "m" else _nanoseconds(values)
    if pd.api.types.infer_dtype(values) in ("date", "datetime", "datetime64"):
        return _nanoseconds(pd.to_datetime(values, utc=True))
    texts = values.astype(str).str.strip()
    distinct = texts.unique()
    read = _read(name, distinct, written)
    return texts.map(dict(zip(distinct, read, strict=True))).to_numpy()


def _nanoseconds(values: pd.Series[Any]) -> np.ndarray:
    return pd.DatetimeIndex(values).as_unit("ns").asi8


def _read(name: str, texts: np.ndarray, written: str | None) -> np.ndarray:
    """Each text as int64 nanoseconds. Raises ValueError."""
    try:
        if written is not None:
            return _parsed(texts, format=written)
        if all(map(_CLOCK.fullmatch, texts)):
            return _parsed(np.array([f"1970-01-01 {text}" for text in texts], object), format="mixed")
        if all(map(_ISO.fullmatch, texts)):
            return _parsed(np.array([_dashed(text) for text in texts], object), format="ISO8601")
        if any(map(_SIX_DIGITS.fullmatch, texts)):
            raise ValueError("six digits do not say which two are the year")
        if all(map(_MONTH_FIRST.fullmatch, texts)):
            return _parsed(texts, format="%m/%Y")
        found = [_NUMERIC.fullmatch(text) for text in texts]
        days = {match.group(0): match for match in found if match}
        if days and len(days) == len(texts):
            return _parsed(texts, format="mixed", dayfirst=_is_day_first(name, list(days.values())))
        if days:
            raise ValueError("its texts have several forms")
        return _parsed(texts, format="mixed")
    except (ValueError, OverflowError) as error:
        if str(error).startswith("the column"):
            raise
        as_stated = f"as {written!r}" if written else f"as times; {_EXAMPLE}, or use a column of numbers"
        raise ValueError(
            f"the column {name!r} cannot be read {as_stated} (its first value is {quoted(texts[0])}): {error}"
        ) from error


def _parsed(texts: np.ndarray, **options: Any) -> np.ndarray:
    return _nanoseconds(pd.Series(pd.to_datetime(pd.Series(texts, dtype=object), utc=True, **options)))


def _dashed(text: str) -> str:
    """`2024-01-05` of 2024/1/5 and 2024.1.5, as ISO 8601 has it."""
    date, mark, time = re.fullmatch(r"([^T ]*)([T ]?)(.*)", text).groups()  # type: ignore[union-attr]
    return "-".join(part.zfill(2) for part in re.split(r"[-/.]", date)) + mark + time


def _is_day_first(name: str, found: list[re.Match[str]]) -> bool:
    """Whether 3.4.2024 is in April: with points it is; else numbers above 12 say it.

    Raises ValueError without any, and where 23-12-31 may begin or end with its year.
    """
    first, second = (max(int(match.group(at)) for match in found) for at in (1, 3))
    last = [match.group(4) for match in found]
    if second <= 12 and all(len(year) == 2 and 1 <= int(year) <= 31 for year in last):
        raise ValueError(
            f"the column {name!r} holds dates such as {quoted(found[0].group(0))}, of which nothing says whether the "
            f"year comes first or last; {_EXAMPLE}"
        )
    if first > 12 and second <= 12:
        return True
    if second > 12 and first <= 12:
        return False
    if {match.group(2) for match in found} == {"."} and second <= 12:
        return True
    raise ValueError(
        f"the column {name!r} holds dates such as {quoted(found[0].group(0))}, of which nothing says whether the day "
        f"or the month comes first; {_EXAMPLE}"
    )
