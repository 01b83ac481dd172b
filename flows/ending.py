"""How the command line ends: with one message and an exit code, also where a signal ends it."""

import signal
import sys
from typing import Any, NoReturn

import typer.core

from federated.errors import bounded
from flows.screen import console


def end(message: str, code: int) -> NoReturn:
    """Say why, and exit."""
    console(stderr=True).print(f"error: {bounded(message)}", soft_wrap=True)
    sys.exit(code)


def end_on_sigterm() -> None:
    """From now on SIGTERM is a KeyboardInterrupt, which ends everything as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _terminate)


def exit_code(interrupt: BaseException) -> int:
    """The exit code of a process that a signal ended: 128 and the signal."""
    return 128 + (signal.SIGTERM if isinstance(interrupt, _Terminated) else signal.SIGINT)


class Commands(typer.core.TyperGroup):
    """Typer's, which by itself ends without a word, and with the exit code of Ctrl-C whatever the signal was."""

    def invoke(self, *context: Any) -> Any:
        """Call the command."""
        try:
            return super().invoke(*context)
        except KeyboardInterrupt as interrupt:
            end("interrupted", exit_code(interrupt))


class _Terminated(KeyboardInterrupt):
    """SIGTERM."""


def _terminate(number: int, frame: object) -> NoReturn:
    raise _Terminated
