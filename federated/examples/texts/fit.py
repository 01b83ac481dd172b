"""A vocabulary, and how rare its words are, learnt from the training texts alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from federated.machine.large_arrays import room
from federated.preprocessing.preprocessing import Fitted, Preprocessing
from federated.preprocessing.raw_texts import PIECES, column_by_unit, dtype_of, fill, width_of

_UNITS_AT_A_TIME = 2**22


class Units(Protocol):
    """The units of texts: see `federated.datasets.text_files.stored.Units`."""

    @property
    def numbers(self) -> np.ndarray: ...
    @property
    def ends(self) -> np.ndarray: ...
    @property
    def names(self) -> Sequence[str]: ...


def fitted_texts(units: Units, stated: Mapping[str, Any], size: int, training: np.ndarray) -> Fitted:
    """The inputs of all texts. Raises ValueError where the training texts have not a single word.

    stated: the values of the preprocessing that are not learnt. size: the most words of a vocabulary.
    """
    values, arrays = dict(stated), {}
    if values["inputs"] in ("tfidf", "words"):
        times, texts = _counts(units, training)
        chosen = _most_frequent(units.names, times, size)
        if not chosen:
            raise ValueError(f"the {len(training):,} training texts hold not a single {values['unit']}")
        if values["inputs"] == "tfidf":
            chosen = sorted(chosen, key=lambda number: units.names[number])
            # As scikit-learn: as if there were one more text, with every word in it.
            arrays["rarity"] = np.log((1 + len(training)) / (1 + texts[chosen])) + 1
        values["vocabulary"] = [units.names[number] for number in chosen]
    inputs = room((len(units.ends), width_of(values)), dtype_of(values))
    fill(inputs, _columns(units, values), units.ends, values, arrays)
    return Fitted(inputs, Preprocessing("text", values, arrays))


def _columns(units: Units, values: Mapping[str, Any]) -> Any:
    """places -> the columns of the units there."""
    if values["inputs"] in PIECES:
        return lambda places: units.numbers[places]
    column = column_by_unit(values)
    columns = np.fromiter((column(name) for name in units.names), np.int32, len(units.names))
    return lambda places: columns[units.numbers[places]]


def _counts(units: Units, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(how often each unit occurs in the training texts, in how many of them), int64 [units]."""
    known = len(units.names)
    times, texts = np.zeros(known, np.int64), np.zeros(known, np.int64)
    trained = np.zeros(len(units.ends), bool)
    trained[training] = True
    for owners, numbers in _blocks(units):
        kept = trained[owners]
        owners, numbers = owners[kept], numbers[kept]
        times += np.bincount(numbers, minlength=known)
        pairs = np.sort(owners.astype(np.int64) * known + numbers)  # several times as fast as numpy's unique
        first = np.diff(pairs, prepend=-1) > 0
        texts += np.bincount(pairs[first] % max(known, 1), minlength=known)
    return times, texts


def _blocks(units: Units) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(text of each unit, its number), of whole texts, some at a time."""
    ends, first = units.ends, 0
    while first < len(ends):
        begin = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, begin + _UNITS_AT_A_TIME, "right")))
        sizes = np.diff(ends[first:last], prepend=begin)
        yield np.repeat(np.arange(first, last), sizes), units.numbers[begin : int(ends[last - 1])]
        first = last


def _most_frequent(names: Sequence[str], times: np.ndarray, size: int) -> list[int]:
    """The numbers of the most frequent units, at most `size`, the most frequent first, of as frequent ones in the order
    of the alphabet: what held-out texts hold decides nothing."""
    there = np.flatnonzero(times)
    if len(there) > size:
        least = np.partition(times[there], len(there) - size)[len(there) - size]
        there = there[times[there] >= least]
    return sorted(there.tolist(), key=lambda number: (-times[number], names[number]))[:size]
