"""Feature columns that were probably not meant to be read as they are, and what cures each."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from federated.examples.client_ids import alike, spelt
from federated.examples.reading import Suspicion, counted, named, span
from federated.examples.tables.mostly_numbers import cells_in_words, cure, mostly_numbers
from federated.examples.tables.number_like import Marks
from federated.foundation.texts import quoted

_ENOUGH_ROWS = 20
"""With fewer rows a column of different values says nothing."""
MANY_CATEGORIES = 100
_MOST_GROUPS = 3

_DATE = re.compile(
    r"[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}([T ][0-9:.Z+-]+)?|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4}([ ,]+[0-9:]+)?"
    r"|[0-9]{1,2}[. -]+[^\W\d_]{3,9}\.?[ ,-]+[0-9]{2,4}|[^\W\d_]{3,9}\.? [0-9]{1,2},? [0-9]{4}"
    r"|[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?"
)
_CODE_OF_MISSING = re.compile(r"-9+|9{2,}")
_BOOLEANS = frozenset(["yes", "no", "y", "n", "true", "false", "t", "f", "1", "0", "on", "off", "ja", "nein"])


def of_numbers(name: str, column: np.ndarray, marks: Marks | None) -> Iterator[Suspicion]:
    """column: float64 [N], NaN where it is missing. marks: of the numbers in the CSV file that it is from, if any."""
    present = column[~np.isnan(column)]
    if not len(present):
        yield Suspicion("no value", name, f"{named(name)} has no value at all, so it is left out")
        return
    if present.min() == present.max():
        if len(present) == len(column):
            yield _constant(name, f"{present[0]:g}")
        return
    whole = bool((present == np.floor(present)).all())
    if whole and len(column) >= _ENOUGH_ROWS and len(np.unique(present)) == len(column):
        yield Suspicion(
            "a different whole number in every row",
            name,
            f"{named(name)} is a different whole number in each of {len(column):,} rows, as ids and row numbers "
            "are, and is read as numeric; name it in `drop` if it is one",
        )
    elif whole:
        yield from _codes_of_missing(name, column, present, marks is not None)


def _codes_of_missing(
    name: str, column: np.ndarray, present: np.ndarray, options: bool
) -> Iterator[Suspicion]:
    """A value such as -999 or 9999 far from all others."""
    values = np.unique(present)
    for extreme, rest in ((values[0], values[1:]), (values[-1], values[:-1])):
        far = abs(extreme - (rest[0] if extreme < rest[0] else rest[-1])) > rest[-1] - rest[0] > 0
        if far and _CODE_OF_MISSING.fullmatch(f"{extreme:.0f}") and len(rest) >= 3:
            rows = np.flatnonzero(column == extreme)
            yield Suspicion(
                "a number that may stand for missing",
                name,
                f"{named(name)} is {extreme:.0f} in {counted(len(rows), 'row')}, the first is row {rows[0] + 1}, and "
                f"{span(rest)} in all others; if it stands for missing, "
                + (f'state `missing_values: ["{extreme:.0f}"]`' if options else "leave it empty"),
            )


def of_texts(name: str, column: pd.Series[str], stated: bool, marks: Marks | None) -> Iterator[Suspicion]:
    """column: text, None where it is missing. stated: the study file calls it categorical. marks: as of numbers."""
    codes, values = pd.factorize(column)
    texts = [str(value) for value in values]
    if not texts:
        return
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    if len(texts) == 1 and counts[0] == len(column):
        yield _constant(name, quoted(texts[0]))
        return
    numbers = None if stated else mostly_numbers(texts, counts, marks)
    if numbers is not None:
        cells = cells_in_words(codes, texts, numbers)
        yield Suspicion(
            "text that is mostly numbers",
            name,
            f"{named(name)} is read as text, {len(texts):,} categories, but {numbers.share:.1%} of it is "
            f"numbers; {cells}{cure(numbers, marks is not None)}, or name it in `categorical` if these are codes",
        )
    elif not stated:
        yield from _of_categories(name, texts, counts)
    for several in alike(texts)[:_MOST_GROUPS] if numbers is None else ():
        yield Suspicion(
            "categories that are nearly the same",
            name,
            f"{named(name)} has {spelt(several)}, which are read as {len(several)} categories",
        )


def _of_categories(name: str, texts: list[str], counts: np.ndarray) -> Iterator[Suspicion]:
    present = int(counts.sum())
    dates = sum(count for text, count in zip(texts, counts, strict=True) if _DATE.fullmatch(text.strip()))
    if dates >= present / 2:
        yield Suspicion(
            "dates or times as categories",
            name,
            f"{named(name)} holds dates or times, such as {quoted(texts[0])}, and is read as text, "
            f"{len(texts):,} categories; turn it into numbers (days, hours) in the file, or name it in `drop`",
        )
    elif len(texts) > MANY_CATEGORIES or (present >= _ENOUGH_ROWS and len(texts) > present / 2):
        yield Suspicion(
            "many categories",
            name,
            f"{named(name)} has {len(texts):,} categories in {present:,} rows, an input of the model each; name "
            "it in `drop` if these are names, ids or prose",
        )
    elif len(texts) > 2 and {text.strip().casefold() for text in texts} <= _BOOLEANS:
        yield Suspicion(
            "yes and no in several spellings",
            name,
            f"{named(name)} says yes and no in {len(texts)} ways ({spelt(texts)}), which are read as "
            f"{len(texts)} categories",
        )
    if broken := [text for text in texts if "\n" in text]:
        yield Suspicion(
            "values of several lines",
            name,
            f"{named(name)} has {counted(len(broken), 'value')} with a line end, the first is "
            f"{quoted(broken[0][:40])}; is a quotation mark missing?",
        )


def _constant(name: str, value: str) -> Suspicion:
    return Suspicion(
        "the same in every row",
        name,
        f"{named(name)} is {value} in every row, so it tells the model nothing; name it in `drop`",
    )
