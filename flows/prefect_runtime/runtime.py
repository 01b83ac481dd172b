"""Prefect as the command line needs it: embedded, quiet and fast, with the reason for each setting.

Nothing here matters to a deployment: a worker brings its own server and settings. What a person has set in
the environment always wins.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from federated.foundation.addresses import without_login
from federated.foundation.errors import BadInput
from federated.machine.folders import database_url, home
from federated.machine.loopback import ask_loopback_directly, forget_unusual_proxies, is_loopback
from federated.machine.servers import PREFECT, SECONDS_TO_ANSWER, unreachable, unusable
from flows.prefect_runtime.prefect_away import PATIENCE, Api, asking, said_where_away
from flows.prefect_runtime.prefect_settings import require_settings

if TYPE_CHECKING:
    from httpx import Response
    from prefect.client.orchestration import SyncPrefectClient

_EMBEDDED = {
    # The server writes every task run in a transaction of its own unless told to gather them: a quarter of
    # the work in all.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "100",
    # A server that lives as long as a study has no automations, so no service need check every event for one.
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    # Block types are for stored configuration, of which there is none; writing them takes 2.5 s of a first start.
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    # A first start migrates the database, which takes longer than the default 20 s on a busy machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
}

# Logs go to the API, where Prefect shows them; the terminal belongs to the progress display.
_QUIET = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    # Prefect prints a page for each event that it cannot send; one line of ours says that its server is away.
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
}


_ours: dict[str, str] = {}
"""The settings that this process put into the environment: a home that changes later changes them."""


def configure() -> None:
    """Put the settings into the environment. Raises BadInput.

    Prefect reads them when it is first imported: call this before, or use `settings_of_now`.
    """
    ask_loopback_directly()
    write_nothing_about_lost_logs()
    embedded = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database_url("prefect.db", "sqlite+aiosqlite")}
    for name, value in {**_EMBEDDED, **_QUIET, **PATIENCE, **embedded}.items():
        if os.environ.setdefault(name, value) in (value, _ours.get(name)):
            os.environ[name] = _ours[name] = value
    try:
        home().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"FEDSTUDY_HOME: {home()} cannot be a folder: {error.strerror}") from error


def write_nothing_about_lost_logs() -> None:
    """Silence the errors of lost logs: the study reports once that Prefect is away, not for each batch of logs."""
    logging.raiseExceptions = False


@contextmanager
def settings_of_now() -> Iterator[None]:
    """Let Prefect have the settings that the environment states now, also where it was imported before."""
    require_settings()
    from prefect.context import get_settings_context, use_profile
    from prefect.logging.configuration import setup_logging

    with use_profile(get_settings_context().profile, include_current_context=False):
        setup_logging()
        yield


@contextmanager
def prefect_api() -> Iterator[Api]:
    """A Prefect API for flows in this process and in its children.

    The one of PREFECT_API_URL or the active profile; where there is none, a server of our own on a loopback
    port, stopped at the end. It takes seconds to start, so it starts in the background.
    """
    require_settings()
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )

    # The heartbeat makes every flow run wait up to a second at its end, and nothing here reads it.
    quick = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    if not any(
        _is_remote(address) for address in (PREFECT_API_URL.value(), os.environ.get("MLFLOW_TRACKING_URI"))
    ):
        forget_unusual_proxies()
    if PREFECT_API_URL.value():
        with temporary_settings(quick), _named_api() as url, said_where_away(url, _unknown):
            yield Api(url, lambda: None, _unknown)
        return
    from flows.prefect_runtime.embedded_server import embedded_server

    with (
        temporary_settings(quick),
        embedded_server() as server,
        asking(server),
        said_where_away(server.api_url, server.last_error),
    ):
        yield Api(server.api_url, server.wait, server.last_error)


@contextmanager
def client_of_named_api(what: str) -> Iterator["SyncPrefectClient"]:
    """A client of the API of PREFECT_API_URL or the active profile; BadInput where there is none, or it fails.

    what: what is to be kept there, for the error.
    """
    require_settings()
    from httpx import HTTPError, HTTPStatusError
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        raise BadInput(f"PREFECT_API_URL is not set; {what} are kept by a Prefect server that stays")
    with _named_api() as url, get_client(sync_client=True) as client:
        try:
            yield client
        except HTTPStatusError as error:
            raise BadInput(unusable(PREFECT, url, error.response.status_code, error.response.text)) from error
        except HTTPError as error:
            raise BadInput(unreachable(PREFECT, url, error)) from error


@contextmanager
def _named_api() -> Iterator[str]:
    """The address of the API that is named, which is asked with the login in it. Raises BadInput."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    # Prefect takes a password in an address for its requests, but not for the websockets that record task runs.
    url, login = without_login(PREFECT_API_URL.value())
    known = {} if login is None else {PREFECT_API_AUTH_STRING: login}
    with temporary_settings({PREFECT_API_URL: url, **known}):
        _require_api(url)
        yield url


def _unknown() -> str:
    return ""


def _is_remote(address: str | None) -> bool:
    """Whether a server is asked over a network, perhaps through the very proxy that Prefect's client cannot use."""
    return address is not None and address.startswith("http") and not is_loopback(address)


def _require_api(url: str) -> None:
    """Raise BadInput where no Prefect answers there, with the credentials that are set.

    Asks for something that needs them: `/health` answers without.
    """
    from httpx import HTTPError, HTTPStatusError, InvalidURL
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    # Asked once. Prefect's client waits after any answer of 503 for as long as that says.
    once = {PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: SECONDS_TO_ANSWER}
    at_once = {"event_hooks": {"response": [_refuse_errors]}}
    try:
        with temporary_settings(once), get_client(httpx_settings=at_once, sync_client=True) as client:
            client.read_flows(limit=1)
            client.raise_for_api_version_mismatch()
    except HTTPStatusError as error:
        answer = error.response
        raise BadInput(unusable(PREFECT, url, answer.status_code, answer.text)) from error
    except (HTTPError, InvalidURL, OSError) as error:
        raise BadInput(unreachable(PREFECT, url, error)) from error
    except ValueError as error:  # neither JSON nor flows
        raise BadInput(
            f"Prefect at {url}: what answers is not its API, whose address ends with /api; check PREFECT_API_URL"
        ) from error
    except RuntimeError as error:  # of another major version
        raise BadInput(f"Prefect at {url}: {error}") from error


def _refuse_errors(response: "Response") -> None:
    """Raise what the client would raise later; not where it asks whether the server has CSRF tokens."""
    if response.is_error and response.status_code not in (404, 422):
        response.read()
        response.raise_for_status()
