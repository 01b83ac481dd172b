"""Counts of labels as columns of a table that people read."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from federated.foundation.errors import BadInput
from federated.foundation.limits import LARGEST_LABEL_TABLE, MOST_CELLS


def count_columns(
    what: str, rows: np.ndarray, labels: np.ndarray, counts: np.ndarray, length: int, names: Sequence[str]
) -> dict[str, list[int]] | dict[str, list[str]]:
    """A column of counts for each label, `what NAME`; where that were too many cells, one of JSON: `{name: count}`.

    rows, labels, counts: int64 [n], all counts that are not zero, by row and label. length: rows of the table.
    names: of the labels.
    """
    if length * len(names) <= MOST_CELLS:
        table = np.zeros((length, len(names)), np.int64)
        table[rows, labels] = counts
        return {f"{what} {name}": table[:, at].tolist() for at, name in enumerate(names)}
    found: list[dict[str, int]] = [{} for _ in range(length)]
    for row, label, count in zip(rows.tolist(), labels.tolist(), counts.tolist(), strict=True):
        found[row][names[label]] = count
    return {what: [json.dumps(each, ensure_ascii=False) for each in found]}


def check_label_table(clients: int, classes: int) -> None:
    """Raise BadInput where the table of who holds how much of what would be too large to measure."""
    if clients * classes > LARGEST_LABEL_TABLE:
        raise BadInput(
            f"clients: {clients:,} clients x {classes:,} classes are a table of {clients * classes:,} counts; at most "
            f"{LARGEST_LABEL_TABLE:,} are allowed: take fewer clients, or put classes together"
        )
