"""A check, before anything runs, that the tracking store is reachable and grants access."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

from mlflow import MlflowClient, environment_variables
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from requests import RequestException, Response
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from federated.foundation.errors import BadInput
from federated.machine.folders import require_home, require_shared_folder
from federated.machine.servers import MLFLOW, SECONDS_TO_ANSWER, chain, unreachable, unusable
from tasks.tracking.server.store import connect, embedded_uri, tracking_uri

_QUESTION = "/api/2.0/mlflow/experiments/search"
_ANSWER = {"experiments", "next_page_token"}
_WITH_A_TIME_LIMIT = ("postgresql", "mysql")


def require_store() -> None:
    """Raise BadInput, with the variable to change, where the tracking store cannot be used; within seconds."""
    _require_settings()
    require_shared_folder()
    uri = tracking_uri()
    if uri.startswith(("http://", "https://")):
        connect()  # its settings
        _require_server(uri)
        return
    if uri == embedded_uri():
        require_home()
    try:
        _require_database(uri)
        connect().search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        raise BadInput(f"{_database(uri)}: {_reason(error)}") from error


def _require_settings() -> None:
    """Raise BadInput for a variable of MLflow's whose value is none: it would be found where it is used, if ever."""
    for variable in vars(environment_variables).values():
        if isinstance(variable, environment_variables._EnvironmentVariable) and variable.name in os.environ:
            try:
                variable.get()  # type: ignore[no-untyped-call]
            except ValueError as error:
                reason = str(error.__cause__ or error)
                raise BadInput(f"{variable.name}: MLflow cannot use its value: {reason}") from error


def answers_now(client: MlflowClient) -> bool:
    """Whether MLflow answers within seconds."""
    try:
        if not client.tracking_uri.startswith(("http://", "https://")):
            client.search_experiments(max_results=1)
            return True
        answer = _ask(client.tracking_uri, 0)
    except (MlflowException, SQLAlchemyError, OSError):
        return False
    return answer.status_code == 200 and _is_mlflow(answer.text)


def _ask(uri: str, retries: int) -> Response:
    """The server's answer. A Retry-After header is ignored."""
    answer: Response = http_request(  # type: ignore[no-untyped-call]
        get_default_host_creds(uri),  # type: ignore[no-untyped-call]
        _QUESTION,
        "POST",
        json={"max_results": 1},
        max_retries=retries,
        timeout=SECONDS_TO_ANSWER,
        raise_on_status=False,
        respect_retry_after_header=False,
    )
    return answer


def _require_server(uri: str) -> None:
    """Ask once more at most."""
    try:
        answer = _ask(uri, 1)
    except (MlflowException, RequestException, OSError) as error:
        raise BadInput(unreachable(MLFLOW, uri, error)) from error
    if answer.status_code != 200:
        raise BadInput(unusable(MLFLOW, uri, answer.status_code, answer.text))
    if not _is_mlflow(answer.text):
        raise BadInput(f"MLflow at {uri}: what answers there is not MLflow; check MLFLOW_TRACKING_URI")


def _is_mlflow(body: str) -> bool:
    try:
        content = json.loads(body)
    except ValueError:
        return False
    return isinstance(content, dict) and content.keys() <= _ANSWER


def _require_database(uri: str) -> None:
    """Read a database once: MLflow itself retries for 100 seconds after any error."""
    if "://" not in uri or uri.startswith(("file:", "databricks", "uc:")):
        return
    backend = make_url(uri).get_backend_name()
    limit = {"connect_timeout": round(SECONDS_TO_ANSWER)} if backend in _WITH_A_TIME_LIMIT else {}
    engine = create_engine(uri, connect_args=limit)
    question = "SELECT count(*) FROM sqlite_master" if backend == "sqlite" else "SELECT 1"
    with closing(engine.connect()) as connection:
        connection.execute(text(question))
    engine.dispose()


def _database(uri: str) -> str:
    if uri != embedded_uri():
        return f"MLflow's store {uri} (MLFLOW_TRACKING_URI) cannot be used"
    return f"MLflow's database {Path(make_url(uri).database or '').name} in FEDSTUDY_HOME cannot be used"


def _reason(error: BaseException) -> str:
    """The driver's innermost error; for another version of the schema, a message with the remedy."""
    said = str(error)
    if "out-of-date database schema" in said or "Can't locate revision" in said:
        versions = said.partition("(")[2].partition(")")[0] or said
        return (
            f"another version of MLflow made it ({versions}); after a backup, "
            "`mlflow db upgrade` migrates an older one"
        )
    bottom = [*chain(error)][-1]
    line = (str(bottom).strip() or type(bottom).__name__).partition("\n")[0]
    if "already exists" in line:
        return (
            f"{line}: a process that was killed made its tables only in part; as it has no runs, move it away"
        )
    return line
