"""The column to predict: classes or numbers, and a word where that could be meant otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from federated.examples.client_ids import MISSING_WORDS, alike, merged, spelt, tidied_column
from federated.examples.examples import Complaint, Task
from federated.examples.plain_arrays import as_float32
from federated.examples.reading import Suspicion, counted, listed, named, span
from federated.examples.tables.features import MOST_CATEGORIES, kind_of, numbers_of, refuse_gaps, text_of
from federated.examples.tables.mostly_numbers import cells_in_words, cure, mostly_numbers
from federated.examples.tables.number_like import Marks
from federated.foundation.texts import quoted

MOST_CLASSES_INFERRED = 20
"""A target of whole numbers with at most this many distinct ones is read as classes."""

_MOST_CLASSES_SUSPECTED = 100
_FEWEST_A_CLASS = 3


class Target(NamedTuple):
    """values: class numbers int64 [N] with the names of the classes in sorted order, or float32 [N] with None."""

    values: np.ndarray
    classes: tuple[str, ...] | None
    suspicions: tuple[Suspicion, ...] = ()


def target_of(
    column: pd.Series[Any],
    written: pd.Series[Any] | None,
    task: Task | None,
    bad: Complaint,
    marks: Marks | None,
) -> Target:
    """What a column teaches. Raises BadInput where it has gaps or is text that is mostly numbers.

    written: the same as the file writes it, where it is from one. marks: of the numbers in that file.
    """
    labels = None if written is None else _labels(column, written, task, bad, marks)
    if labels is None:
        refuse_gaps(column, bad, "remove these rows")
    if task != "regression" and (labels is not None or kind_of(column, bad) == "categorical"):
        texts = tidied_column(text_of(column)) if labels is None else labels
        if task is None and not isinstance(column.dtype, pd.CategoricalDtype):
            _refuse_numbers(texts, bad, marks)
        by_text = _classes_of_texts(texts, task, bad)
        spellings = text_of(column) if written is None else written
        return by_text._replace(suspicions=(*_merged(str(column.name), spellings), *by_text.suspicions))
    numbers = numbers_of(column, bad, marks).to_numpy()
    values, codes = np.unique(numbers, return_inverse=True)
    if task == "regression" or (task is None and not _like_classes(values)):
        found = as_float32(named(column.name, "target "), numbers, bad)
        said = suspicions_of_regression(named(column.name, "target "), numbers) if task is None else ()
        return Target(found, None, said)
    names = [str(int(value) if value.is_integer() else value) for value in values.tolist()]
    return Target(
        codes.astype(np.int64),
        _class_names(names, column, bad),
        _of_classes(column, names) if task is None else (),
    )


def _labels(
    column: pd.Series[Any],
    written: pd.Series[Any],
    task: Task | None,
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


def _classes_of_texts(column: pd.Series[Any], task: Task | None, bad: Complaint) -> Target:
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


def near_classes(what: str, classes: Sequence[str]) -> list[Suspicion]:
    """Classes that may be one. what: the target, for messages."""
    if len(classes) > MOST_CATEGORIES:
        return []
    return [
        Suspicion(
            "target: classes that are nearly the same",
            what,
            f"{what} has {spelt(several)}, which are read as {len(several)} classes",
        )
        for several in alike(classes)
    ]


def _merged(name: str, texts: pd.Series[Any]) -> Iterator[Suspicion]:
    for text, several in merged(texts.tolist()):
        sentence = f"{named(name, 'target ')} has {several}, which are read as one class {quoted(text)}"
        yield Suspicion("target: spaces around classes", name, sentence)


def _of_classes(column: pd.Series[Any], names: list[str]) -> tuple[Suspicion, ...]:
    if len(names) <= 2:
        return ()
    sentence = (
        f"{named(column.name, 'target ')} has {len(names)} different whole numbers ({listed(names)}) and is read as "
        f"{len(names)} classes; if it is an amount, say `task: regression`, if not, `task: classification`"
    )
    return (Suspicion("target: whole numbers as classes", str(column.name), sentence),)


def suspicions_of_regression(
    what: str,
    numbers: np.ndarray,
    cure: str = "say `task: classification`",
    confirmation: str = ", if not, `task: regression`",
) -> tuple[Suspicion, ...]:
    """A target of few different numbers that is read as regression, though nobody said so. numbers: float [N, ...].

    cure: what makes it classes. confirmation: what keeps it as it is, and ends the warning.
    """
    values = np.unique(numbers)
    few = len(values) <= _MOST_CLASSES_SUSPECTED and len(values) * _FEWEST_A_CLASS <= len(numbers)
    whole = bool((values == np.floor(values)).all())
    if not few or not (whole or len(values) <= MOST_CLASSES_INFERRED):
        return ()
    kind = "whole numbers" if whole else "numbers"
    sentence = (
        f"{what}: there are only {len(values)} different {kind} ({span(values)}), read as regression; if these are "
        f"classes, {cure}{confirmation}"
    )
    return (Suspicion("target: few numbers as regression", what, sentence),)


def _like_classes(values: np.ndarray) -> bool:
    return len(values) <= MOST_CLASSES_INFERRED and bool((values == np.floor(values)).all())


def _class_names(names: list[str], column: pd.Series[Any], bad: Complaint) -> tuple[str, ...]:
    if len(names) < 2:
        raise bad(f"{named(column.name, 'target ')} is {names[0]!r} in every row; 2 classes are needed")
    return tuple(names)
