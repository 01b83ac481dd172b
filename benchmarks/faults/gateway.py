"""A gateway before a real MLflow server, which can refuse requests and lose answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import requests

from benchmarks.faults.fault import Place
from benchmarks.faults.servers import Server, served

_OF_A_CONNECTION = ("host", "connection", "content-length", "transfer-encoding")


class Asked(NamedTuple):
    """A request."""

    method: str
    path: str
    body: bytes


class Gateway:
    """rule: the status that refuses a request, None for those that pass. loses: whether the answer to one is lost."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.rule: Callable[[Asked], int | None] = lambda asked: None
        self.loses: Callable[[Asked], bool] = lambda asked: False


@contextmanager
def behind_gateway(place: Place) -> Iterator[Gateway]:
    """A server that the place's studies ask through a gateway."""
    gateway = Gateway(served(place))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = Asked(
                self.command, self.path, self.rfile.read(int(self.headers.get("Content-Length") or 0))
            )
            status = gateway.rule(asked)
            answer = self._forward(asked) if status is None else None
            if answer is None or gateway.loses(asked):
                self._say(status or 504, b"refused by a gateway", {"Content-Type": "text/plain"})
            else:
                self._say(answer.status_code, answer.content, answer.headers)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - names of http.server

        def _forward(self, asked: Asked) -> requests.Response | None:
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in _OF_A_CONNECTION
            }
            try:
                url = f"{gateway.server.uri}{asked.path}"
                return requests.request(asked.method, url, data=asked.body, headers=headers, timeout=300)
            except requests.RequestException:
                return None

        def _say(self, status: int, body: bytes, headers: object) -> None:
            self.send_response(status)
            kind = dict(headers).get("Content-Type", "application/json")  # type: ignore[call-overload]
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *said: object) -> None:
            """Nothing."""

    doors = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=doors.serve_forever, daemon=True).start()
    place.environment["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{doors.server_port}"
    try:
        yield gateway
    finally:
        doors.shutdown()
        doors.server_close()
