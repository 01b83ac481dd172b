"""The exit of the command line: one message and an exit code, also after a signal."""

import errno
import signal
import sys
from typing import Any, NoReturn

import typer.core

from federated.foundation.errors import bounded
from federated.machine.folders import home
from federated.machine.servers import chain
from flows.terminal.screen import console

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def end(message: str, code: int) -> NoReturn:
    """Say why, and exit."""
    console(stderr=True).print(f"error: {bounded(message)}", soft_wrap=True)
    sys.exit(code)


def end_on_sigterm() -> None:
    """From now on SIGTERM is a KeyboardInterrupt, which ends everything as Ctrl-C does; so is a terminal that closes.

    Not where `nohup` had it ignored.
    """
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _hang_up)


def end_if_disk_is_full(error: BaseException) -> None:
    """Exit where an error says that there is no space left, or no more of what this user may have."""
    full = (
        (isinstance(each, OSError) and each.errno in _FULL) or "database or disk is full" in str(each)
        for each in chain(error)
    )
    if any(full):
        why = str(error).partition("\n")[0]
        end(f"no space left to write in {home()}: {why}; free some, then `run ... --resume` goes on", 1)


def end_interrupted(interrupt: BaseException) -> NoReturn:
    """Say so, with the interrupt's notes, and exit as a process that a signal ended: with 128 and the signal."""
    said = "; ".join(["interrupted", *getattr(interrupt, "__notes__", ())])
    end(said, 128 + (interrupt.number if isinstance(interrupt, _Terminated) else signal.SIGINT))


class Commands(typer.core.TyperGroup):
    """Typer's commands, which by themselves end silently and with the exit code of Ctrl-C for every signal."""

    def invoke(self, *context: Any) -> Any:
        """Call the command."""
        try:
            return super().invoke(*context)
        except KeyboardInterrupt as interrupt:
            end_interrupted(interrupt)


class _Terminated(KeyboardInterrupt):
    """SIGTERM."""

    number = signal.SIGTERM


class _HungUp(_Terminated):
    """SIGHUP."""

    number = signal.SIGHUP


def _terminate(number: int, frame: object) -> NoReturn:
    raise _Terminated


def _hang_up(number: int, frame: object) -> NoReturn:
    raise _HungUp
