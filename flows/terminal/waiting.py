"""The step that a command is at, shown while a person waits: a line written over on a terminal, else a line a step."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from rich.status import Status

from federated.foundation.doing import Step, steps_now
from federated.foundation.texts import in_a_line, shortened
from flows.terminal.screen import Screen, styled

_SILENCE = 2.0
"""Seconds that a step takes before it is named."""

_LOOK = 0.2
_LONGEST = 160
_SHARE = 0.1
"""Without a terminal, the part of all its time after which a command may say a next line: a long check says few."""


@contextmanager
def shown_while_waiting(screen: Screen, *, lines: bool = False) -> Iterator[None]:
    """Name the steps within that take more than two seconds.

    lines: each on a line of its own, also on a terminal: something else is written over there.
    """
    can_write_over = screen.is_terminal and not screen.is_dumb_terminal
    waiting = _Waiting(screen, lines or not can_write_over)
    waiting.start()
    try:
        yield
    finally:
        waiting.end()


class _Waiting(Thread):
    """A thread, as what it watches is busy."""

    def __init__(self, screen: Screen, lines: bool) -> None:
        super().__init__(daemon=True, name="waiting")
        self._screen, self._lines = screen, lines
        self._ended, self._began = Event(), time.perf_counter()
        self._status: Status | None = None
        self._named: list[Step] = []
        self._next_line = 0.0

    def run(self) -> None:
        """Look at the steps until the command goes on."""
        show = self._line if self._lines else self._written_over
        while not self._ended.wait(_LOOK):
            now = time.perf_counter()
            show([step for step in steps_now() if now - step.since >= _SILENCE], now)

    def end(self) -> None:
        """Nothing is written any more once this returns."""
        self._ended.set()
        self.join()
        if self._status is not None:
            self._status.stop()

    def _written_over(self, long: list[Step], now: float) -> None:
        if not long:
            if self._status is not None:
                self._status.stop()
                self._status = None
            return
        text = styled((f"{in_words(long)} ({now - long[-1].since:.0f} s)", "dim"))
        if self._status is None:
            self._status = self._screen.status(text)
            self._status.start()
        self._status.update(text)

    def _line(self, long: list[Step], now: float) -> None:
        new = [step for step in long if step not in self._named]
        if not new or now < self._next_line:
            return
        self._named = long
        self._next_line = now + max(_SILENCE, _SHARE * (now - self._began))
        self._screen.print(f"{in_words(long)} ...", style="dim", soft_wrap=True)


def in_words(steps: list[Step]) -> str:
    """`checking a (2 of 6): loading the weights of m`"""
    return shortened(in_a_line(": ".join(step.what for step in steps)), _LONGEST)
