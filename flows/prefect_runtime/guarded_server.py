"""The program of the embedded Prefect server: Prefect's own, behind a guard that admits its study alone.

Prefect's server answers every client, including any web page (`Access-Control-Allow-Origin: *`): a page in the
user's browser could read and delete a running study. The guard requires three things of requests and of websockets,
on every path: the secret of this server, a Host that is this machine's (a page whose name was pointed at this machine
sends its own), and no Origin, which only browsers send.

Started by `flows.prefect_runtime.embedded_server` with the descriptor of a bound socket and the path of a lock; the
secret is in the environment. Servers of one home that start at once make and migrate its database one after another,
each holding the lock: two at once would break each other's tables.
"""

import base64
import fcntl
import hmac
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from prefect.server.api.server import create_app
from uvicorn import Config, Server

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """An ASGI application that lets through to another what comes from the study that started the server.

    secret: `user:password`, as in PREFECT_API_AUTH_STRING. hosts: what the Host header may be.
    """

    def __init__(self, inner: Application, secret: str, hosts: frozenset[str]) -> None:
        self._inner = inner
        self._authorization = b"Basic " + base64.b64encode(secret.encode())
        self._hosts = {host.encode() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 or 403, or let the other application answer."""
        refusal = None if scope["type"] == "lifespan" else self._refusal(scope["headers"])
        if refusal is None:
            await self._inner(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()  # what asks for the connection; closed before it is accepted, it ends with 403
            await send({"type": "websocket.close", "code": 1008})
        else:
            await send({"type": "http.response.start", "status": refusal, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    def _refusal(self, headers: list[tuple[bytes, bytes]]) -> int | None:
        """The status that refuses a request with these headers; None where it may pass."""
        of = {name: [value for known, value in headers if known == name] for name, _ in headers}
        hosts, given = of.get(b"host", []), of.get(b"authorization", [])
        if b"origin" in of or len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return 403
        if len(given) != 1 or not hmac.compare_digest(given[0], self._authorization):
            return 401
        return None


def _end_with_parent() -> None:
    """End when standard input closes: the process that started the server has ended or was killed.

    The thread waits where the interpreter's lock is not held.
    """
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


class _OneAtATime(Server):
    """A server that starts while no other with the same lock does; the system releases a dead process's lock."""

    def __init__(self, config: Config, lock: str) -> None:
        super().__init__(config)
        self._lock = lock

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait for the lock, and start."""
        with open(self._lock, "ab") as lock:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            await super().startup(sockets)


def _serve(bound: socket.socket, lock: str) -> bool:
    """Serve until asked to stop. Returns whether the server had started.

    `uvicorn --fd` would take the socket for one of Unix, and so leave out TCP_NODELAY: every answer would wait.
    """
    port = bound.getsockname()[1]
    hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
    guarded = Guard(create_app(), os.environ["PREFECT_SERVER_API_AUTH_STRING"], hosts)
    server = _OneAtATime(Config(guarded, log_level="error", lifespan="on"), lock)
    server.run(sockets=[bound])
    return server.started


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(0 if _serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2]) else 3)
