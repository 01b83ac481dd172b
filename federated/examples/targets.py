"""The target column as classes or numbers, with a warning where both readings are plausible."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from federated.examples.client_ids import MISSING_WORDS, tidied_column
from federated.examples.examples import Complaint
from federated.examples.plain_arrays import as_float32
from federated.examples.reading import Suspicion, counted, named
from federated.examples.tables.codes_of_missing import suspicion_of_codes
from federated.examples.tables.dates import IN_NUMBERS, are_dates
from federated.examples.tables.features import MOST_CATEGORIES, kind_of, numbers_of, refuse_gaps, text_of
from federated.examples.tables.mostly_numbers import cells_in_words, cure, mostly_numbers
from federated.examples.target_suspicions import (
    MOST_CLASSES_INFERRED,
    dates_as_numbers,
    near_classes,
    spaces_merged,
    suspicions_of_regression,
    whole_numbers_as_classes,
)
from federated.metrics.tasks import Targets
from federated.preprocessing.number_marks import Marks

NOT_OF_COLUMNS = (
    "has one at each position of an example; use `next_token` for texts, else `arrays` or your own function"
)
_DATES = ("datetime64", "datetime", "date", "time", "timedelta64", "timedelta", "period")


class Target(NamedTuple):
    """values: class numbers int64 [N] with the names of the classes in sorted order, or float32 [N] with None."""

    values: np.ndarray
    classes: tuple[str, ...] | None
    suspicions: tuple[Suspicion, ...] = ()


def target_of(
    column: pd.Series[Any],
    written: pd.Series[Any] | None,
    task: Targets | None,
    bad: Complaint,
    marks: Marks | None,
) -> Target:
    """The target that a column gives. Raises BadInput for gaps, and for text that is mostly numbers.

    written: the same as the file writes it, where it is from one. marks: of the numbers in that file.
    """
    if task == "sequence":
        raise bad(
            f"{named(column.name, 'target ')} holds one target a row, but task: sequence {NOT_OF_COLUMNS}"
        )
    if pd.api.types.infer_dtype(column) in _DATES:
        raise bad(f"{named(column.name, 'target ')} holds dates or times; {IN_NUMBERS}")
    labels = None if written is None else _labels(column, written, task, bad, marks)
    if labels is None:
        refuse_gaps(column, bad, "remove these rows")
    if task != "regression" and (labels is not None or kind_of(column, bad) == "categorical"):
        texts = tidied_column(text_of(column)) if labels is None else labels
        if task is None and not isinstance(column.dtype, pd.CategoricalDtype):
            refuse_dates(named(column.name, "target "), texts, bad)
            _refuse_numbers(texts, bad, marks)
        by_text = _classes_of_texts(texts, task, bad)
        spellings = text_of(column) if written is None else written
        return by_text._replace(suspicions=(*spaces_merged(str(column.name), spellings), *by_text.suspicions))
    return _of_numbers(column, numbers_of(column, bad, marks).to_numpy(), task, bad)


def _of_numbers(column: pd.Series[Any], numbers: np.ndarray, task: Targets | None, bad: Complaint) -> Target:
    """numbers: the column as float64, none missing."""
    what = named(column.name, "target ")
    codes_of_missing = tuple(suspicion_of_codes(str(column.name), what, numbers, "remove these rows"))
    exact = _exact(column, numbers)
    values, codes = np.unique(exact, return_inverse=True)
    if task == "regression" or (task is None and not _like_classes(values)):
        found = as_float32(what, exact, bad)
        said = (
            *dates_as_numbers(what, numbers),
            *(suspicions_of_regression(what, numbers) if task is None else ()),
        )
        return Target(found, None, (*codes_of_missing, *said))
    names = [
        str(value if isinstance(value, int) else int(value) if value.is_integer() else value)
        for value in values.tolist()
    ]
    return Target(
        codes.astype(np.int64),
        _class_names(names, column, bad),
        codes_of_missing + (whole_numbers_as_classes(column, names) if task is None else ()),
    )


def _exact(column: pd.Series[Any], numbers: np.ndarray) -> np.ndarray:
    """Whole numbers as they are, of which float64 tells those beyond 2^53 no longer apart."""
    if pd.api.types.is_integer_dtype(column.dtype) and np.abs(numbers).max() >= 2**53:
        unsigned = pd.api.types.is_unsigned_integer_dtype(column.dtype)
        return column.to_numpy(np.uint64 if unsigned else np.int64)
    return numbers


def refuse_dates(
    what: str, texts: pd.Series[Any], bad: Complaint, cure: str = "say `task: classification`"
) -> None:
    """Raise where a target that is not stated to be classes is text that is mostly dates or times.

    cure: what makes it classes.
    """
    counts = texts.value_counts()
    if are_dates(counts.index.tolist(), counts.to_numpy()):
        raise bad(
            f"{what} holds dates or times, such as {texts.iloc[0]!r}, of which each would be a class; {IN_NUMBERS}, or "
            f"{cure} if they are classes"
        )


def _labels(
    column: pd.Series[Any],
    written: pd.Series[Any],
    task: Targets | None,
    bad: Complaint,
    marks: Marks | None,
) -> pd.Series[Any] | None:
    """Labels as they are written, where reading them as values would lose some; None where it would not.

    A class called NA, where classes are asked for; `01` and `1`, which a number does not tell apart; text.
    """
    texts = tidied_column(written)
    words = column.isna() & texts.notna()
    if words.any():
        if task == "regression" or set(texts[words]) - MISSING_WORDS:
            return None
        if task is None:
            rows = np.flatnonzero(words)
            raise bad(
                f"{named(column.name)} is {texts.iloc[rows[0]]!r} in {len(rows):,} of {len(column):,} rows, the "
                f"first is row {rows[0] + 1}, which is read as missing; remove these rows, or say `task: "
                "classification` if it is a class"
            )
    if texts.isna().any():
        return None
    codes_lost = texts.str.match(r"0[0-9]").any() and texts.nunique() > column.nunique()
    is_text = kind_of(column, bad) == "categorical" and not pd.api.types.is_bool_dtype(column.dtype)
    if words.any() or is_text:
        return texts
    if not codes_lost:
        return None
    as_classes = task == "classification" or _like_classes(np.unique(numbers_of(column, bad, marks)))
    return texts if as_classes else None


def _refuse_numbers(texts: pd.Series[Any], bad: Complaint, marks: Marks | None) -> None:
    """Text that is mostly numbers would be a classification of hundreds; units, as in `<=50K`, may be names."""
    codes, values = pd.factorize(texts)
    distinct = [str(value) for value in values]
    counts = np.bincount(codes, minlength=len(distinct))
    numbers = mostly_numbers(distinct, counts, marks, units=False)
    if numbers is None:
        numbers = mostly_numbers(distinct, counts, marks)
        if numbers is None or numbers.different <= MOST_CLASSES_INFERRED:
            return
    if not numbers.strange and len(distinct) <= MOST_CLASSES_INFERRED:
        return  # class numbers that somebody stored as text
    cured = cure(numbers, marks is not None) if numbers.strange else "say `task: regression`"
    raise bad(
        f"{named(texts.name, 'target ')} is text, {len(distinct):,} different ones, but {numbers.share:.1%} of it is "
        f"numbers; {cells_in_words(codes, distinct, numbers)}{cured}; or say `task: classification` if every text is "
        "a class"
    )


def _classes_of_texts(column: pd.Series[Any], task: Targets | None, bad: Complaint) -> Target:
    texts, codes = np.unique(column.to_numpy().astype(str), return_inverse=True)
    if task is None and len(texts) > MOST_CATEGORIES:
        raise bad(
            f"{named(column.name, 'target ')} has {len(texts):,} distinct texts; "
            "if these are classes, say `task: classification`"
        )
    said = near_classes(named(column.name, "target "), texts.tolist())
    for word in sorted(MISSING_WORDS & set(texts.tolist())):
        rows = int((column == word).sum())
        said.append(
            Suspicion(
                "target: a word for missing",
                str(column.name),
                f"{named(column.name, 'target ')} is {word!r} in {counted(rows, 'row')}, which is read as a class",
            )
        )
    return Target(codes.astype(np.int64), _class_names(texts.tolist(), column, bad), tuple(said))


def _like_classes(values: np.ndarray) -> bool:
    return len(values) <= MOST_CLASSES_INFERRED and bool((values == np.floor(values)).all())


def _class_names(names: list[str], column: pd.Series[Any], bad: Complaint) -> tuple[str, ...]:
    if len(names) < 2:
        raise bad(f"{named(column.name, 'target ')} is {names[0]!r} in every row; 2 classes are needed")
    return tuple(names)
