"""The record of how a data set was read: columns, inferred task, and warnings about likely mistakes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from federated.foundation.texts import quoted
from federated.metrics.tasks import Targets

ColumnRole = Literal[
    "target", "client", "weights", "test", "text", "numeric", "categorical", "dropped", "unused"
]

_MOST_SENTENCES = 3
_MOST_NAMED = 10
_LONGEST_LIST = 60


@dataclass(frozen=True)
class ColumnRead:
    """One column. values: what it holds, in words. missing: the share of rows without a value. inputs: of the model."""

    name: str
    role: ColumnRole
    values: str
    missing: float
    inputs: int


@dataclass(frozen=True)
class Reading:
    """columns: of a table, in its order; none for arrays. warnings: sentences on what looks like a mistake."""

    columns: tuple[ColumnRead, ...] = ()
    warnings: tuple[str, ...] = ()


NOT_DESCRIBED = Reading()
"""Of data sets that say nothing about themselves."""


@dataclass(frozen=True)
class Suspicion:
    """A likely mistake in a column. kind: in a few words, the same for similar columns."""

    kind: str
    column: str
    sentence: str


def said(suspicions: Iterable[Suspicion]) -> tuple[str, ...]:
    """The sentences; of many columns with one kind of fault a few, and the names of the others."""
    by_kind: dict[str, list[Suspicion]] = {}
    for each in suspicions:
        by_kind.setdefault(each.kind, []).append(each)
    sentences: list[str] = []
    for kind, found in by_kind.items():
        sentences += [each.sentence for each in found[:_MOST_SENTENCES]]
        shown = {each.column for each in found[:_MOST_SENTENCES]}
        rest = [each.column for each in found[_MOST_SENTENCES:]]
        if others := [column for column in dict.fromkeys(rest) if column not in shown]:
            more = f" and {len(others) - _MOST_NAMED:,} more" if len(others) > _MOST_NAMED else ""
            named = ", ".join(map(quoted, others[:_MOST_NAMED]))
            sentences.append(f"{kind}: {counted(len(others), 'other column')} as well: {named}{more}")
        if again := sum(column in shown for column in rest):
            sentences.append(f"{kind}: {again:,} more of the same kind")
    return tuple(sentences)


def named(column: object, role: str = "") -> str:
    """`the target column 'y'`, however long its name is."""
    return f"the {role}column {quoted(str(column))}"


def counted(number: int, noun: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(texts: Sequence[str]) -> str:
    """`a, b, c`, cut to what fits in a cell of a table."""
    shown: list[str] = []
    length = 0
    for text in texts:
        length += len(text) + 2
        if shown and length > _LONGEST_LIST:
            return ", ".join([*shown, "..."])
        shown.append(text if len(text) <= _LONGEST_LIST else f"{text[: _LONGEST_LIST - 3]}...")
    return ", ".join(shown)


def task_in_words(targets: np.ndarray, classes: tuple[str, ...] | None, task: Targets | None = None) -> str:
    """`classification of 3 classes: a, b, c`, `regression, 1.5 to 20`, or `5 labels, ...`."""
    if task == "sequence":
        counted = int((targets >= 0).sum())
        padded = targets.size - counted
        without = f", without {padded:,} of padding" if padded else ""
        return (
            f"sequences of {targets.shape[1]:,} positions with one of {len(classes or ()):,} classes each, {counted:,} "
            f"positions in all{without}"
        )
    if classes is not None:
        return f"classification of {len(classes):,} classes: {listed(classes)}"
    outputs = 1 if targets.ndim == 1 else targets.shape[1]
    if task == "multilabel":
        return f"{outputs:,} labels, of which an example has {targets.sum(axis=1).mean():.2g} in the mean"
    several = "" if outputs == 1 else f" of {outputs:,} values each"
    return f"regression{several}, {span(targets)}"


def span(numbers: np.ndarray) -> str:
    """`1.5 to 20`, without what is missing."""
    present = numbers[np.isfinite(numbers)]
    return f"{present.min():g} to {present.max():g}" if present.size else "no value"
