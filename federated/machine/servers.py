"""One-line error messages about a server that should be MLflow or Prefect and does not answer as expected."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

SECONDS_TO_ANSWER = 10.0
"""For the first request to a server; a slower server would hold up every run."""

_LONGEST_QUOTE = 200
_ANOTHER_NAME = "Invalid Host header"
"""What MLflow says to whom asks it under a name that it does not know."""


@dataclass(frozen=True)
class Server:
    """A server as a person sets it up: its name, and the variables of the environment that say where and how.

    address: the variable of the address. credentials: those of which one, or a pair, makes it answer. certificates:
    the one that names a file of further authorities.
    """

    name: str
    address: str
    credentials: tuple[str, ...]
    certificates: str


MLFLOW = Server(
    "MLflow",
    "MLFLOW_TRACKING_URI",
    ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
)
PREFECT = Server(
    "Prefect", "PREFECT_API_URL", ("PREFECT_API_AUTH_STRING", "PREFECT_API_KEY"), "PREFECT_API_SSL_CERT_FILE"
)


def unusable(server: Server, url: str, status: int, body: str) -> str:
    """The error message for a server that answered with this status and body."""
    says = f"{server.name} at {url} answers {_status(status)}{_quoted(body)}"
    if status == 401:
        return f"{says}: {_credentials(server)}"
    if status == 403 and _ANOTHER_NAME in body:
        return (
            f"{says}: --allowed-hosts of the server lacks this name; add it there, or change {server.address}"
        )
    if status == 403:
        return f"{says}: {_credentials(server)}; or they do not allow this"
    if status == 407:
        return f"{says}: the proxy (HTTP_PROXY, HTTPS_PROXY) wants credentials of its own"
    if status >= 500:
        return f"{says}: its own log says why"
    return f"{says}: something else listens there, or under another path; check {server.address}"


def unreachable(server: Server, url: str, error: BaseException) -> str:
    """The error message for a server that did not answer."""
    reasons = [*chain(error)]
    said = (str(reasons[-1]).strip() or type(reasons[-1]).__name__).partition("\n")[0]
    for each in reasons:
        if isinstance(each, ssl.SSLError):
            return (
                f"{server.name} at {url}: no TLS connection: {each}; {server.certificates} names the file of its "
                "authority; a server without TLS begins with http://"
            )
    if any("timed out" in str(each) or "Timeout" in type(each).__name__ for each in reasons):
        said = f"nothing within {SECONDS_TO_ANSWER:.0f} s"
    return f"{server.name} at {url} does not answer: {said}; start it, or unset {server.address}"


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, and so on down."""
    seen: list[BaseException] = []
    now: BaseException | None = error
    while now is not None and now not in seen:
        seen.append(now)
        now = now.__cause__ or now.__context__
    yield from seen


def _credentials(server: Server) -> str:
    given = [name for name in server.credentials if os.environ.get(name)]
    if given:
        return f"it does not accept {', '.join(given)}"
    return f"it wants credentials; set {', '.join(server.credentials[:-1])} or {server.credentials[-1]}"


def _status(status: int) -> str:
    known = status in [each.value for each in HTTPStatus]
    return f"{status} {HTTPStatus(status).phrase}" if known else str(status)


def _quoted(body: str) -> str:
    """The text of the server's answer: the message in JSON, or a line of text; a page is only called a page."""
    text = body.strip()
    if text.startswith("<"):
        return " with a web page"
    try:
        content = json.loads(text)
    except ValueError:
        content = text
    if isinstance(content, dict):
        content = content.get("message") or content.get("detail") or content.get("exception_message") or ""
    line = str(content).partition("\n")[0]
    return f" ({line[:_LONGEST_QUOTE]})" if line else ""
