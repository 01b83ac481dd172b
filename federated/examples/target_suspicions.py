"""Warnings about likely mistakes in the target column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from federated.examples.client_ids import alike, merged, spelt
from federated.examples.reading import Suspicion, listed, named, span
from federated.examples.tables.dates import IN_NUMBERS, are_dates_in_digits
from federated.examples.tables.features import MOST_CATEGORIES
from federated.foundation.texts import quoted

MOST_CLASSES_INFERRED = 20
"""A target of whole numbers with at most this many distinct ones is read as classes."""

_MOST_CLASSES_SUSPECTED = 100
_FEWEST_A_CLASS = 3


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


def spaces_merged(name: str, texts: pd.Series[Any]) -> Iterator[Suspicion]:
    """Classes that differ only in surrounding spaces in the file."""
    for text, several in merged(texts.tolist()):
        sentence = f"{named(name, 'target ')} has {several}, which are read as one class {quoted(text)}"
        yield Suspicion("target: spaces around classes", name, sentence)


def whole_numbers_as_classes(column: pd.Series[Any], names: list[str]) -> tuple[Suspicion, ...]:
    """Whole numbers that are read as classes although the task is not stated."""
    if len(names) <= 2:
        return ()
    sentence = (
        f"{named(column.name, 'target ')} has {len(names)} different whole numbers ({listed(names)}) and is read as "
        f"{len(names)} classes; if it is an amount, say `task: regression`, if not, `task: classification`"
    )
    return (Suspicion("target: whole numbers as classes", str(column.name), sentence),)


def dates_as_numbers(what: str, numbers: np.ndarray) -> Iterator[Suspicion]:
    """Dates in digits, such as 20240131."""
    if are_dates_in_digits(numbers):
        yield Suspicion(
            "target: dates as numbers",
            what,
            f"{what} holds numbers such as {numbers[0]:.0f}, which look like dates and are read as "
            f"amounts; {IN_NUMBERS}",
        )


def suspicions_of_regression(
    what: str,
    numbers: np.ndarray,
    cure: str = "say `task: classification`",
    confirmation: str = ", if not, `task: regression`",
) -> tuple[Suspicion, ...]:
    """A target of few distinct numbers read as regression, the task not being stated. numbers: float [N, ...].

    cure: what makes it classes. confirmation: what keeps it as it is, and ends the warning.
    """
    values = np.unique(numbers)
    if len(values) == 1:
        constant = f"{what} is {values[0]:g} in every row, so there is nothing to predict"
        return (Suspicion("target: constant", what, constant),)
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
