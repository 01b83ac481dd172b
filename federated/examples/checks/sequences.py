"""Targets that are sequences: a class at every position, such as the next character, or the tag of each word."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from federated.foundation.errors import BadInput
from federated.metrics.tasks import PADDING, Targets


def are_sequences(array: np.ndarray, task: Targets | None) -> bool:
    """Whether targets are a class at each position [N, length]: stated, or whole numbers or texts in several columns.

    Zeros and ones alone are none unless they are stated: they may be one-hot classes, or several labels at once.
    """
    if task is not None:
        return task == "sequence"
    if array.ndim != 2 or array.shape[1] < 2 or array.dtype.kind not in "iuU":
        return False
    return array.dtype.kind == "U" or not np.isin(array, (0, 1)).all()


def as_sequences(
    array: np.ndarray,
    classes: tuple[str, ...] | None,
    padding: int | str | None,
    bad: Callable[[str], BadInput],
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(class numbers int64 [N, length], PADDING where a position does not count; the names of the classes).

    classes: of numbers, their names in order; of texts, also their order; None: what is there. padding: None: all
    positions count.
    """
    if array.ndim != 2 or not array.size:
        raise bad(f"targets of sequences must be [N, length], got {list(array.shape)}")
    if array.dtype.kind not in "iuUb":
        raise bad(f"targets of sequences must be whole numbers or texts, got {array.dtype}")
    if padding is not None and isinstance(padding, str) != (array.dtype.kind == "U"):
        raise bad(f"padding is {padding!r}, and targets are {array.dtype}: state a value of their kind")
    counts = np.ones(array.shape, bool) if padding is None else array != padding
    if not counts.any():
        raise bad(f"all targets are {padding!r}, which is the padding")
    present, codes = np.unique(array[counts], return_inverse=True)
    if array.dtype.kind == "U":
        names = classes or tuple(map(str, present))
        if unknown := sorted(set(map(str, present)) - set(names)):
            raise bad(f"the target {unknown[0]!r} is not among the classes {', '.join(names)}")
        codes = np.array([names.index(str(text)) for text in present], np.int64)[codes]
    else:
        names = classes or tuple(map(str, range(max(int(present[-1]) + 1, 0))))
        if present[0] < 0 or present[-1] >= len(names):
            stray = present[0] if present[0] < 0 else present[-1]
            cure = (
                ""
                if padding is not None
                else f"; if {stray} fills short sequences up, state padding: {stray}"
            )
            raise bad(f"targets must be class numbers 0 ... {len(names) - 1}, but there is a {stray}{cure}")
        codes = present.astype(np.int64)[codes]
    if len(names) < 2:
        raise bad("all targets are one class; at least 2 classes are needed")
    found = np.full(array.shape, PADDING, np.int64)
    found[counts] = codes.reshape(-1)
    return found, names
