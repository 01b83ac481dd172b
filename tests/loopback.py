"""Servers on loopback for tests: what answers is MLflow's or Prefect's place, and says what a test wants."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import requests


class Request(NamedTuple):
    """What was asked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """What is answered."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


@contextmanager
def serving(answer: Callable[[Request], Answer]) -> Iterator[str]:
    """Answer every request with what the function gives; the address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            given = answer(Request(self.command, self.path, dict(self.headers), body))
            self.send_response(given.status)
            for name, value in {**given.headers, "Content-Length": str(len(given.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(given.body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - names of http.server

        def log_message(self, *said: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def forwarded(request: Request, to: str) -> Answer:
    """What another server answers to the same request."""
    own = ("host", "content-length", "connection")
    headers = {name: value for name, value in request.headers.items() if name.lower() not in own}
    heard = requests.request(request.method, f"{to}{request.path}", data=request.body, headers=headers)
    return Answer(heard.status_code, heard.content, {"Content-Type": heard.headers.get("Content-Type", "")})
