"""Held-out examples by the stated values of a column."""

from __future__ import annotations

import numpy as np

from federated.examples.examples import Examples
from federated.foundation.texts import listed, meant
from federated.holdouts.columns import as_text, column_of, texts_of
from federated.holdouts.random import random
from federated.holdouts.rule import FittedRule, HoldoutRule, SetName

Values = tuple[bool | int | float | str, ...]


def column(column: str, test: Values, client: Values = (), validation: Values = ()) -> HoldoutRule:
    """The examples in which a column has stated values, such as a year, a ward or the word "test".

    column: its name, of a table's columns (features or not), or the number of a feature of arrays; "client": the
        natural clients. Name it in the data set's `drop`, unless the model is to see it.
    test: values of the examples in the central test set, wherever they come from.
    client, validation: values of the examples that each client keeps for evaluation, and for choosing; where none are
        stated, `holdout.client` and `holdout.validation` are shares at random. No value may be stated twice.
    """
    stated: dict[SetName, tuple[str, ...]] = {
        "test": tuple(map(as_text, test)),
        "client": tuple(map(as_text, client)),
        "validation": tuple(map(as_text, validation)),
    }
    if not test:
        raise ValueError("test must state at least one value")
    every = [value for values in stated.values() for value in values]
    if twice := [value for value in every if every.count(value) > 1]:
        raise ValueError(f"the value {twice[0]!r} is stated {every.count(twice[0])} times")
    names = frozenset(name for name, values in stated.items() if values)

    def fitted(examples: Examples, copies: np.ndarray | None) -> FittedRule:
        texts = texts_of(column_of(examples, column))
        _check_values(column, every, sorted(set(texts.dropna())))
        at_random = random().fitted(examples, copies)

        def split(
            candidates: np.ndarray, share: float, which: SetName, numbers: np.random.Generator
        ) -> np.ndarray:
            if which not in names:
                return at_random.split(candidates, share, which, numbers)
            mask: np.ndarray = texts.isin(stated[which]).to_numpy(bool)
            return np.asarray(mask[candidates])

        return FittedRule(split)

    return HoldoutRule(fitted, names, (column,))


def _check_values(column: str, stated: list[str], present: list[str]) -> None:
    """Raise ValueError where a value is nowhere in the column."""
    if unknown := [value for value in stated if value not in present]:
        hint = meant(unknown[0], present)
        raise ValueError(
            f"the column {column!r} is nowhere {unknown[0]!r}; {hint}its {len(present):,} values are: "
            f"{listed(present)}"
        )
