"""A relay before a server that counts the HTTP requests which pass, and changes nothing."""

from __future__ import annotations

import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

_OF_ONE = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}|m-[0-9a-f]{32}|(?<=artifacts/).*|\?.*")
"""What tells two requests of one kind apart: ids, names of files, parameters."""


class Relay:
    """A relay from `port` to a server. asked: (method and kind of path) -> number of requests."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.asked: Counter[str] = Counter()
        self._doors = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._doors.getsockname()[1])
        threading.Thread(target=self._let_in, daemon=True).start()

    def close(self) -> None:
        """Let nobody in any more."""
        self._doors.close()

    def _let_in(self) -> None:
        with suppress(OSError):  # the doors are closed
            while True:
                client, _ = self._doors.accept()
                threading.Thread(target=self._pass, args=[client], daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._to))
        except OSError:
            client.close()
            return
        threading.Thread(target=_copy, args=[server, client], daemon=True).start()
        with suppress(OSError, ValueError), client.makefile("rb") as said:
            for part in self._counted(said):
                server.sendall(part)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _counted(self, said: BinaryIO) -> Iterator[bytes]:
        """What a client says, part by part."""
        while line := said.readline():
            method, path, _ = line.decode("latin-1").split(" ", 2)
            self.asked[f"{method} {_OF_ONE.sub('…', path)}"] += 1
            head = [line]
            while (line := said.readline()) not in (b"\r\n", b""):
                head.append(line)
            yield b"".join([*head, line])
            named = {
                name.lower(): value.strip() for name, _, value in (each.partition(b":") for each in head)
            }
            if b"upgrade" in named:  # to a websocket, which is no request any more
                while part := said.read1(65536):  # type: ignore[attr-defined]
                    yield part
                return
            if named.get(b"transfer-encoding", b"").lower() == b"chunked":
                yield from _chunks(said)
            else:
                yield said.read(int(named.get(b"content-length", b"0")))


def _chunks(said: BinaryIO) -> Iterator[bytes]:
    while line := said.readline():
        size = int(line.split(b";")[0], 16)
        yield line + said.read(size + 2)
        if not size:
            return


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def relayed(port: int) -> Iterator[Relay]:
    """A relay before the server at this port."""
    relay = Relay(port)
    try:
        yield relay
    finally:
        relay.close()
