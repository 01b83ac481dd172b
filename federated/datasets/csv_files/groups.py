"""Columns of a CSV file whose numbers have groups of thousands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from federated.datasets.csv_files.format import CsvFormat
from federated.examples.reading import Suspicion, named
from federated.examples.tables.number_like import could_be_decimals
from federated.preprocessing.number_marks import PLAIN, Marks, number_read


def without_groups(
    frame: pd.DataFrame, form: CsvFormat, roles: Mapping[str, str]
) -> tuple[pd.DataFrame, list[Suspicion]]:
    """(text columns in which every value is a number with groups of thousands, or without, as numbers; doubts).

    pandas' own option takes every such mark out of any text: 01.02.2020 would become a number.
    roles: of the columns that somebody named; of these only the target is in doubt.
    """
    marks = form.marks
    changed: dict[str, pd.Series[Any]] = {}
    doubts: list[Suspicion] = []
    for name in frame.columns:
        column = frame[name]
        if not (pd.api.types.is_string_dtype(column.dtype) or column.dtype == object):
            continue
        read = {
            text: number_read(text, marks) if isinstance(text, str) else None
            for text in column.dropna().unique()
        }
        if read and all(text is not None for text in read.values()):
            numbers = pd.to_numeric(column.astype(object).map(read))
            changed[name] = numbers.mask(numbers.isin(_numbers(form.missing_values)))
            role = roles.get(str(name), "")
            if role in ("", "target") and all(could_be_decimals(text, marks) for text in read):
                doubts.append(_could_be_decimals(column, role, marks))
    return (frame.assign(**changed) if changed else frame), doubts


def _numbers(texts: Iterable[str]) -> list[float]:
    """Those of the texts that are numbers, as pandas compares them to cells without groups."""
    return [float(text) for text in texts if PLAIN.fullmatch(text.strip())]


def _could_be_decimals(column: pd.Series[Any], role: str, marks: Marks) -> Suspicion:
    text = column.dropna().iloc[0].strip()
    what = named(column.name, f"{role} ".lstrip())
    return Suspicion(
        "thousands that could be decimals",
        str(column.name),
        f"{what} has one group of three digits in every value, such as {text}, read as "
        f'{number_read(text, marks)}; if these are decimals, write them with the `decimal: "{marks.decimal}"` that is '
        f"stated, in the file{'' if role else '; if not, name it in `numeric`'}",
    )
