"""The channel on which pool processes report their progress to this process.

Each process has a connection of its own. A `multiprocessing.Queue` has one lock for all who write: a process that
is killed while it holds that lock leaves the others, and this one, waiting for ever.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import AuthenticationError, current_process
from multiprocessing.connection import Client, Connection, Listener
from threading import Event, Thread
from typing import TypeAlias, cast

from flows.terminal.progress import News, listen_with, tell

Address: TypeAlias = tuple[str, int]
"""Of a line: host, which is this machine, and port. Only who has this process's key is heard there."""


@contextmanager
def progress_channel() -> Iterator[Address]:
    """The address of a channel to this process's listener. On exit, all messages have reached it."""
    closing = Event()
    # Not a socket file, whose path may be no longer than 107 bytes: TMPDIR may be.
    with Listener(("127.0.0.1", 0), authkey=current_process().authkey) as listener:
        address = cast(Address, listener.address)
        accepting = Thread(target=_accept, args=(listener, closing), daemon=True)
        accepting.start()
        try:
            yield address
        finally:
            closing.set()
            with _connected(address):  # wakes the thread, which looks at `closing` at each new connection
                accepting.join()


def report_to(address: Address) -> None:
    """Send this process's messages to the channel with this address."""
    listen_with(_connected(address).send)


def _connected(address: Address) -> "Connection[News, News]":
    return Client(address, authkey=current_process().authkey)


def _accept(listener: Listener, closing: Event) -> None:
    """Let processes connect until the line closes, then wait until those that did have ended."""
    readers: list[Thread] = []
    while True:
        try:
            connection = listener.accept()
        except (EOFError, OSError, AuthenticationError):
            continue  # the caller died, or had no key, before the connection stood
        if closing.is_set():
            break
        readers.append(Thread(target=_read, args=(connection,), daemon=True))
        readers[-1].start()
    for reader in readers:
        reader.join()


def _read(connection: "Connection[News, News]") -> None:
    """Pass on the messages of one process until it ends or is killed."""
    with connection:
        while True:
            try:
                news = connection.recv()
            except (EOFError, OSError):
                return
            tell(news)
