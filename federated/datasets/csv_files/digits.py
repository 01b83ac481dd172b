"""Warnings about columns read as numbers whose digits suggest codes or separators of thousands."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pandas as pd

from federated.datasets.csv_files.format import CsvFormat
from federated.examples.reading import Suspicion, named

_LEADING_ZERO = r"\s*0[0-9]+\s*"
_GROUPED_OR_BELOW = r"\s*-?([1-9][0-9]{0,2}\.[0-9]{3}|[0-9]{1,3})\s*"
_BELOW_A_THOUSAND = r"\s*-?[0-9]{1,3}\s*"
_FEWEST = 3
_AT_A_TIME = 100_000
_CHARACTERS = 2**22
_LONGEST_CELL = 64

Opened = Callable[[], AbstractContextManager[Any]]


def suspicions_of_digits(
    read: Callable[..., Any], opened: Opened, frame: pd.DataFrame, form: CsvFormat, stated: Collection[str]
) -> Iterator[Suspicion]:
    """Warnings about the numbers of columns without a stated role, over all rows.

    read: pandas' reader of the same file, as text. opened: the file itself, as text. stated: columns with a role.
    """
    unnamed = [name for name in frame.columns if name not in stated]
    numeric = [name for name in unnamed if pd.api.types.is_numeric_dtype(frame[name].dtype)]
    whole = [name for name in numeric if _are_whole(frame[name])]
    with_zeros = whole if whole and _may_have_zeros(opened, form.separator) else []
    points = [name for name in numeric if form.decimal == "." and _in_thousandths(frame[name])]
    if not (looked := with_zeros + points):
        return
    zeros: dict[Any, tuple[int, str]] = {}
    without_point: set[Any] = set()
    for texts in read(usecols=looked, chunksize=_AT_A_TIME):
        for name in with_zeros:
            if name not in zeros and len(at := np.flatnonzero(_matches(texts[name], _LEADING_ZERO))):
                zeros[name] = (int(texts.index[at[0]]) + 1, str(texts[name].iloc[at[0]]).strip())
        without_point |= {name for name in points if _matches(texts[name], _BELOW_A_THOUSAND).any()}
        present = frame[points].loc[texts.index].notna()
        points = [name for name in points if _matches(texts[name][present[name]], _GROUPED_OR_BELOW).all()]
    yield from (_with_zeros(str(name), *found) for name, found in zeros.items())
    yield from (_in_thousands(str(name)) for name in points if name in without_point)


def _are_whole(column: pd.Series[Any]) -> bool:
    present = column.dropna().to_numpy()
    return bool((present == np.floor(present)).all())


def _in_thousandths(column: pd.Series[Any]) -> bool:
    """Whether numbers below 1000, whole ones and others, have three decimals at most."""
    present = column.dropna().to_numpy(np.float64)
    if not len(present) or np.abs(present).max() >= 1000:
        return False
    is_whole = present == np.floor(present)
    thousandths = present * 1000
    fits = np.isclose(thousandths, np.round(thousandths), rtol=0, atol=1e-6).all()
    return bool(fits) and min(int(is_whole.sum()), int((~is_whole).sum())) >= _FEWEST


def _may_have_zeros(opened: Opened, separator: str) -> bool:
    """Whether any cell of the file is digits that start with a zero: most have none, and are not read again."""
    # Literal beginnings are looked for many times as fast as a class of characters.
    starts = [re.compile(re.escape(mark) + "0[0-9]") for mark in dict.fromkeys((separator, "\n", '"', " "))]
    with opened() as file:
        before = "\n"
        while chunk := file.read(_CHARACTERS):
            if any(start.search(before + chunk) for start in starts):
                return True
            before = chunk[-_LONGEST_CELL:]
    return False


def _matches(texts: pd.Series[Any], pattern: str) -> np.ndarray:
    return texts.astype("str").str.fullmatch(pattern).to_numpy(bool)


def _with_zeros(name: str, row: int, text: str) -> Suspicion:
    return Suspicion(
        "numbers with leading zeros",
        name,
        f"{named(name)} has leading zeros, as codes have, such as {text} in row {row}, "
        f"which is read as {int(text)}; name it in `categorical` if these are codes, else in `numeric`",
    )


def _in_thousands(name: str) -> Suspicion:
    return Suspicion(
        "decimals that could be thousands",
        name,
        f"{named(name)} has whole numbers below 1000 and others with three digits after every point, as where points "
        'group thousands, and is read with decimal points; state `thousands: "."` and `decimal: ","` if so, else name '
        "it in `numeric`",
    )
