"""The history of a run: its measurements, in the order in which they were made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import overload

from federated.metrics import Metrics

Entry = tuple[int, Metrics]
"""A round, and the metrics measured in it or after it."""


class History(Sequence[Entry]):
    """Entries in the order of measurement. Immutable: `then` returns a longer history.

    Both share their entries, so that the cost of a round does not grow with the number of rounds.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._shared = list(entries)
        self._length = len(self._shared)

    def then(self, entry: Entry) -> History:
        """The history with one more entry. A history that was already extended is copied first."""
        after = History()
        after._shared = self._shared if len(self._shared) == self._length else list(self)
        after._shared.append(entry)
        after._length = self._length + 1
        return after

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Entry]:
        return islice(self._shared, self._length)

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> list[Entry]: ...
    def __getitem__(self, at: int | slice) -> Entry | list[Entry]:
        places = range(self._length)[at]
        return self._shared[places] if isinstance(places, int) else [self._shared[place] for place in places]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"History({list(self)})"
