"""Warnings about feature columns that were probably read in an unintended way, each with its remedy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from federated.examples.client_ids import alike, spelt
from federated.examples.reading import Suspicion, counted, named
from federated.examples.tables.codes_of_missing import suspicion_of_codes
from federated.examples.tables.dates import IN_NUMBERS, are_dates, are_dates_in_digits
from federated.examples.tables.mostly_numbers import cells_in_words, cure, mostly_numbers
from federated.foundation.texts import quoted
from federated.preprocessing.number_marks import Marks

_ENOUGH_ROWS = 20
"""With fewer rows a column of different values says nothing."""
_LARGEST_EXACT = 2**53
MANY_CATEGORIES = 100
_MOST_GROUPS = 3

_BOOLEANS = frozenset(["yes", "no", "y", "n", "true", "false", "t", "f", "1", "0", "on", "off", "ja", "nein"])


def of_numbers(name: str, column: np.ndarray, marks: Marks | None) -> Iterator[Suspicion]:
    """column: float64 [N], NaN where it is missing. marks: of the numbers in the CSV file that it is from, if any."""
    present = column[~np.isnan(column)]
    if not len(present):
        yield Suspicion("no value", name, f"{named(name)} has no value at all, so it is left out")
        return
    whole = bool((present == np.floor(present)).all())
    if whole and np.abs(present).max() > _LARGEST_EXACT:
        yield Suspicion(
            "whole numbers too large to be told apart",
            name,
            f"{named(name)} holds whole numbers beyond {_LARGEST_EXACT:,}, which are read as the next of those that "
            "64 bits can hold; name it in `drop` or `categorical` if these are ids",
        )
    if present.min() == present.max():
        if len(present) == len(column):
            yield _constant(name, f"{present[0]:g}")
        return
    if whole and len(column) >= _ENOUGH_ROWS and len(np.unique(present)) == len(column):
        yield Suspicion(
            "a different whole number in every row",
            name,
            f"{named(name)} is a different whole number in each of {len(column):,} rows, as ids and row numbers "
            "are, and is read as numeric; name it in `drop` if it is one",
        )
    elif whole and are_dates_in_digits(present):
        yield Suspicion(
            "dates as numbers",
            name,
            f"{named(name)} holds numbers such as {present[0]:.0f}, which look like dates and are read as amounts; "
            f"{IN_NUMBERS}, or name it in `drop`",
        )
    else:
        cure = "state `missing_values: [{}]`" if marks is not None else "leave it empty"
        yield from suspicion_of_codes(name, named(name), column, cure)


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
    if are_dates(texts, counts):
        yield Suspicion(
            "dates or times as categories",
            name,
            f"{named(name)} holds dates or times, such as {quoted(texts[0])}, and is read as text, "
            f"{len(texts):,} categories; {IN_NUMBERS}, or name it in `drop`",
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
