"""A table of how the data of a study were read: the inferred task, and each column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from federated.datasets import Examples
from federated.examples.reading import ColumnRead, ColumnRole, task_in_words
from federated.foundation.texts import shortened

HEADER = ("column", "read as", "values", "missing", "model inputs")

_MOST_OF_A_ROLE = 12
_LONGEST_NAME = 40
_ORDER: tuple[ColumnRole, ...] = (
    "target",
    "client",
    "weights",
    "test",
    "text",
    "numeric",
    "categorical",
    "dropped",
    "unused",
)
_WORDS: dict[ColumnRole, str] = {
    "target": "target",
    "client": "client",
    "weights": "weight",
    "test": "own test split",
    "text": "text",
    "numeric": "number",
    "categorical": "category",
    "dropped": "dropped",
    "unused": "not named, left out",
}


@dataclass(frozen=True)
class DataRead:
    """One data set. label: as the study states it. found: the task and the inputs, in words. rows: a line a column, of
    a table; of many columns with one role a few, and a line for the others."""

    label: str
    found: str
    rows: tuple[tuple[str, ...], ...]


def every_column(examples: Examples) -> tuple[tuple[str, ...], ...]:
    """A line for every column of a table, with whole names, in the order of the file."""
    return tuple(_row(column, column.name) for column in examples.reading.columns)


def data_read(label: str, examples: Examples) -> DataRead:
    """The record of how a data set was read. examples: with the inputs as models see them."""
    columns = examples.reading.columns
    task = task_in_words(examples.targets, examples.class_names, examples.task.targets)
    rows = [row for role in _ORDER for row in _rows([each for each in columns if each.role == role])]
    return DataRead(label, f"{len(examples.targets):,} examples, {task}; {_inputs(examples)}", tuple(rows))


def distinct_data(read: Iterable[DataRead]) -> tuple[DataRead, ...]:
    """Each data set once, as the first arm with it has it."""
    return tuple({each.label: each for each in reversed(list(read))}.values())[::-1]


def _inputs(examples: Examples) -> str:
    inputs, columns = examples.inputs, examples.reading.columns
    if columns:
        features = sum(column.role in ("text", "numeric", "categorical") for column in columns)
        of = f"{features:,} column{'s make' if features != 1 else ' makes'}"
        return f"{of} {inputs.shape[1]:,} input{'s' if inputs.shape[1] != 1 else ''} of the model"
    shape = list(inputs.shape[1:])
    kinds = {"u": "bytes (0 to 255, scaled to 0 to 1)", "i": "whole numbers (tokens)"}
    return f"inputs {shape} of {kinds.get(np.dtype(inputs.dtype).kind, 'numbers')}"


def _rows(columns: Sequence[ColumnRead]) -> list[tuple[str, ...]]:
    """A line a column; where there are many, the first ones and a line for the rest."""
    kept = columns if len(columns) <= _MOST_OF_A_ROLE + 1 else columns[:_MOST_OF_A_ROLE]
    rows = [_row(each, shortened(each.name, _LONGEST_NAME)) for each in kept]
    if rest := columns[len(kept) :]:
        most = max(each.missing for each in rest)
        inputs = sum(each.inputs for each in rest)
        missing = f"up to {_percent(most)}" if most else ""
        rows.append(
            (f"and {len(rest):,} more", _WORDS[rest[0].role], "", missing, f"{inputs:,}" if inputs else "")
        )
    return rows


def _row(column: ColumnRead, name: str) -> tuple[str, ...]:
    inputs = f"{column.inputs:,}" if column.inputs else ""
    return name, _WORDS[column.role], column.values, _percent(column.missing), inputs


def _percent(share: float) -> str:
    return f"{share:.2g} %" if 0 < (share := 100 * share) < 1 else f"{share:.0f} %" if share else ""
