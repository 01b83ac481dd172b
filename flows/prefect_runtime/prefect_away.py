"""A study goes on where its Prefect does not: Prefect shows what was done, and training must not be lost with it."""

import copyreg
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from queue import Empty
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from federated.foundation.errors import BadInput
from federated.foundation.masking import kind_of
from flows.startup.beginning import going_on_unasked, has_open_study
from flows.terminal.progress import notify

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from federated.study.study import StudyConfig
    from flows.prefect_runtime.embedded_server import EmbeddedServer

T = TypeVar("T")

PATIENCE = {"PREFECT_CLIENT_MAX_RETRIES": "2"}
"""Prefect's client waits 2 s before the first retry of a request, and then twice as long each time. The end of a flow
takes up to three requests that fail, so its own five retries would be minutes in which nothing happens."""

_LAST_PATIENCE = 5
"""Retries where no other server takes the place of this one: on a busy machine it may be a minute behind."""


class Api(NamedTuple):
    """A Prefect API. wait: until it answers; before the first flow. last_error: of its server, if known, else ""."""

    url: str
    wait: Callable[[], None]
    last_error: Callable[[], str]


class PrefectAway(RuntimeError):
    """Prefect has stopped answering in the middle of a study. said: the last error of its server, if known."""

    def __init__(self, url: str | None, error: Exception, said: str = "") -> None:
        why = said or str(error).partition("\n")[0] or type(error).__name__
        self.what = f"Prefect at {url} does not answer any more: {why}"
        super().__init__(f"{self.what}; `run ... --resume` goes on from what is done")


def is_prefect_away(error: BaseException) -> bool:
    """Whether it is an error of Prefect's client, or of a Prefect that is known to be away."""
    from httpx import HTTPError

    return issubclass(kind_of(error), HTTPError | PrefectAway)


def let_refusals_be_sent() -> None:
    """Let this process send the refusals of a Prefect to that of the study, which could not unpickle httpx's own."""
    from httpx import HTTPError, HTTPStatusError
    from prefect.exceptions import PrefectHTTPStatusError

    def reduced(error: HTTPError) -> Any:
        return HTTPError, (str(error),)

    for kind in (HTTPStatusError, PrefectHTTPStatusError):
        copyreg.pickle(kind, reduced)


@contextmanager
def said_where_away(url: str | None, last_error: Callable[[], str]) -> Iterator[None]:
    """Raise PrefectAway where the block ends with an error of Prefect's client."""
    try:
        yield
    except Exception as error:
        if not is_prefect_away(error) or isinstance(error, PrefectAway):
            raise
        raise PrefectAway(url, error, last_error()) from error


def raise_where_prefect_is_away(state: "State[str]") -> None:
    """Raise PrefectAway where that is why a task in another process failed."""
    from prefect.settings import PREFECT_API_URL

    if state.is_completed():
        return
    error = state.result(raise_on_failure=False)
    if isinstance(error, Exception) and is_prefect_away(error):
        raise PrefectAway(PREFECT_API_URL.value(), error)


def despite_prefect(
    study: Callable[["StudyConfig", "int | str", bool], T],
    api: Api,
    config: "StudyConfig",
    workers: "int | str",
    resume: bool,
) -> T:
    """The result of the study, which goes on with a server of its own where this Prefect goes away.

    Workers of a work pool know this server alone: a study on them ends with PrefectAway, and goes on with --resume.
    It goes on in its own MLflow run. Where it has none yet, it begins one, and neither continues an older study of the
    same runs nor takes what that has finished, unless it was asked to resume.
    """
    try:
        with said_where_away(api.url, api.last_error):
            return study(config, workers, resume)
    except PrefectAway as error:
        _forget_unsent()
        if isinstance(workers, str):
            raise
        notify(f"{error.what}; the study goes on with a Prefect server of its own, which ends with it")
        with _another_server(error), nullcontext() if resume else going_on_unasked():
            return study(config, workers, resume or has_open_study())


def _forget_unsent() -> None:
    """Drop events and logs that Prefect has not heard of: each would be tried in vain, at the exit at the latest."""
    from prefect._internal.concurrency.services import _active_services

    for service in list(_active_services):
        with suppress(Empty):
            while True:
                service._queue.get_nowait()
        service._stop()


_ours: set[str] = set()
"""Addresses of servers that this process started."""


def ends_with_study(url: str) -> bool:
    """Whether the server at this address is one of ours, which ends with its study."""
    return url in _ours


@contextmanager
def asking(server: "EmbeddedServer") -> Iterator[None]:
    """Let flows in the block ask this server; their last logs are sent before it ends."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    _ours.add(server.api_url)
    with temporary_settings({PREFECT_API_URL: server.api_url, PREFECT_API_AUTH_STRING: server.secret}):
        try:
            yield
        finally:
            if server.has_answered:
                _send_last_logs()


def _send_last_logs() -> None:
    """While there still is somebody to send them to."""
    from prefect.logging.handlers import APILogHandler

    APILogHandler().flush()


@contextmanager
def _another_server(away: PrefectAway) -> Iterator[None]:
    """A server with a new database, which is not in the home: that may be full, or its database damaged."""
    from prefect.settings import (
        PREFECT_CLIENT_MAX_RETRIES,
        PREFECT_SERVER_DATABASE_CONNECTION_URL,
        temporary_settings,
    )

    from flows.prefect_runtime.embedded_server import embedded_server

    with TemporaryDirectory() as folder:
        database = f"sqlite+aiosqlite:///{os.path.join(folder, 'prefect.db')}"
        with (
            temporary_settings(
                {
                    PREFECT_SERVER_DATABASE_CONNECTION_URL: database,
                    PREFECT_CLIENT_MAX_RETRIES: max(PREFECT_CLIENT_MAX_RETRIES.value(), _LAST_PATIENCE),
                }
            ),
            embedded_server() as server,
        ):
            try:
                server.wait()
            except BadInput as error:
                raise away from error
            with asking(server):
                yield
