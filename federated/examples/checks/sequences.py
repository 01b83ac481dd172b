"""Targets that are sequences: a class at every position, such as the next character, or the tag of each word."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from federated.foundation.errors import BadInput
from federated.metrics.tasks import PADDING, Targets

_MOST_CLASSES = 1_000_000
"""An output a class at every position: more could not be trained."""
_TIMES_THE_PRESENT = 10
"""Numbers of classes that occur lie close together; those of a vocabulary need not all occur."""


def are_sequences(array: np.ndarray, task: Targets | None) -> bool:
    """Whether targets are a class at each position [N, length]: stated, or whole numbers or texts in several columns.

    Unless it is stated, zeros and ones alone are none: they may be one-hot classes, or several labels at once. Nor are
    whole numbers of which hardly any occurs, which are rather counts or codes.
    """
    if task is not None:
        return task == "sequence"
    if array.ndim != 2 or array.shape[1] < 2 or array.dtype.kind not in "iuU":
        return False
    return array.dtype.kind == "U" or _look_like_classes(array)


def _look_like_classes(array: np.ndarray) -> bool:
    if np.isin(array, (0, 1)).all():
        return False
    return int(array.max(initial=0)) < _TIMES_THE_PRESENT * len(np.unique(array))


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
        if not classes and present[-1] >= _MOST_CLASSES:
            raise bad(
                f"targets of sequences must be class numbers below {_MOST_CLASSES:,}, but there is a {present[-1]}"
            )
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
