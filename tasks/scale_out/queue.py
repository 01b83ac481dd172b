"""The orders of a round on their way to trainers, and their answers on the way back, in the orders' order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from federated.shards import ShardOrder


class Queue:
    """Takes orders one by one, as they are asked for, so that few are in memory at a time."""

    def __init__(self, orders: Iterable[ShardOrder], ahead: int) -> None:
        """ahead: how many may be out before the first of them is answered."""
        self._coming, self._ahead = enumerate(orders), ahead
        self._again = deque[tuple[int, ShardOrder]]()
        self._answers: dict[int, Any] = {}
        self._given = self._answered = 0
        self._all_given = False

    @property
    def done(self) -> bool:
        """Whether every answer was handed on."""
        return self._all_given and self._answered == self._given

    def take(self) -> tuple[int, ShardOrder] | None:
        """The number of an order, and the order; None where there is none now."""
        if self._again:
            return self._again.popleft()
        if self._all_given or self._given - self._answered >= self._ahead:
            return None
        if (found := next(self._coming, None)) is None:
            self._all_given = True
        else:
            self._given += 1
        return found

    def give_back(self, at: int, order: ShardOrder) -> None:
        """Take back an order that was not done; it is the next to be taken."""
        self._again.appendleft((at, order))

    def answer(self, at: int, value: Any) -> None:
        """Take the answer to an order."""
        self._answers[at] = value

    def ready(self) -> Iterator[Any]:
        """The answers that are next in order."""
        while self._answered in self._answers:
            self._answered += 1
            yield self._answers.pop(self._answered - 1)
