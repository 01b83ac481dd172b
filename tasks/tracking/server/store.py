"""The location of the tracking store: the server of MLFLOW_TRACKING_URI, or the embedded store under var/."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.engine import make_url

from federated.foundation.addresses import without_secrets
from federated.foundation.texts import file_name
from federated.machine.files import alone, whole
from federated.machine.folders import database_url, has_tables, home, of_installation
from federated.machine.loopback import ask_loopback_directly
from tasks.tracking.server.failures import tried_again
from tasks.tracking.server.limits import name_of
from tasks.tracking.server.moved_home import follow

EMBEDDED_DATABASE = "mlflow.db"
_QUIET = (
    "alembic",
    "urllib3.connectionpool",
    "mlflow.utils.environment",
    "mlflow.models.model",
    "mlflow.models.utils",
    "mlflow.pyfunc",
    "mlflow.store.model_registry",  # it says that it waits for a version that is there
)

# A server that is down should fail a call in seconds; MLflow's own defaults retry for four minutes.
_QUIET_AND_QUICK = {
    # Lines about each run on a server, with its address as it is, password and all.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # Bars of a few files, which a log keeps line by line.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    # For the answer to one request; a server that hangs should not hold up a run for MLflow's two minutes, four times.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}

# The UI opens an experiment of this kind with its runs and charts, not with traces of language models.
_SHOWN_AS_TRAINING = {"mlflow.experimentKind": "custom_model_development"}


def connect() -> MlflowClient:
    """A client of the tracking store; the embedded one is created at first use."""
    ask_loopback_directly()
    os.environ["MLFLOW_ENABLE_ASYNC_LOGGING"] = "false"  # a run is ended when all of it has been written
    for name, value in _QUIET_AND_QUICK.items():
        os.environ.setdefault(name, value)
    _quieten_mlflow()
    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)
    if is_sqlite(uri):
        _make_tables(uri)
    return MlflowClient(tracking_uri=uri)


def is_sqlite(uri: str) -> bool:
    """Whether a tracking URI is of an SQLite database, with or without the name of its driver."""
    return uri.startswith(("sqlite:", "sqlite+"))


def is_server() -> bool:
    """Whether the store is a server, which takes a request for everything."""
    return tracking_uri().startswith(("http://", "https://"))


def _quieten_mlflow() -> None:
    for name in _QUIET:
        _quieten(name, logging.ERROR)
    _quieten("mlflow.store.db.utils", logging.CRITICAL)  # it logs the traceback of what it raises


def _quieten(name: str, level: int) -> None:
    """Let a logger be at this level, which MLflow may have changed; setting it empties a cache of every logger."""
    logger = logging.getLogger(name)
    if logger.level != level:
        logger.setLevel(level)


@cache
def _make_tables(uri: str) -> None:
    """The tables of an SQLite store, made by one process at a time: two at once break each other's.

    All of them, or none: a process that is killed between two of MLflow's migrations would leave a database that no
    later one can use.
    """
    file = _database_file(uri)
    with alone(Path(f"{file}.lock")):
        if not _is_made(file):
            for end in (
                "-journal",
                "-wal",
                "-shm",
            ):  # of a database that was moved away; SQLite would replay it
                Path(f"{file}{end}").unlink(missing_ok=True)
            with whole(file) as partial:
                if (kept := _kept_tables()).exists():
                    shutil.copyfile(kept, partial)
                if not has_tables(partial):
                    shutil.copyfile(_made_tables(partial), partial)
        MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
        if uri == embedded_uri():
            follow(file, artifact_root())


def keep_tables() -> None:
    """Keep a database with MLflow's tables and nothing in them for all homes, see `of_installation`.

    Without the experiment that MLflow makes for runs of none, which says where this database lies: MLflow makes it in
    each database that has no experiment.
    """
    _quieten_mlflow()
    with whole(_kept_tables()) as partial:
        shutil.copyfile(_made_tables(partial), partial)
        with closing(sqlite3.connect(partial)) as database, database:
            database.execute("DELETE FROM experiments")


def _kept_tables() -> Path:
    return of_installation("mlflow", "tables.db")


def _made_tables(beside: Path) -> Path:
    """A database made by MLflow, which keeps it open, in the folder of this file."""
    made = beside.absolute().with_name("made.db")
    MlflowClient(tracking_uri=database_url(str(made))).search_experiments(max_results=1)
    return made


def _is_made(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def _database_file(uri: str) -> Path:
    """The file of an SQLite database, whether its URL has the path or SQLite's own URI of it."""
    database = make_url(uri).database or str(home() / EMBEDDED_DATABASE)
    return Path(unquote(urlsplit(database).path) if database.startswith("file:") else database)


def ui_address() -> str:
    """The address of the runs in the UI: the server, or the command that serves the embedded store."""
    server = without_secrets(tracking_uri())
    return server if server.startswith("http") else "./fedstudy ui, then http://127.0.0.1:5000"


def tracking_uri() -> str:
    """The URI of the tracking store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or embedded_uri()


def embedded_uri() -> str:
    """The URI of the embedded store; its folder exists afterwards."""
    home().mkdir(parents=True, exist_ok=True)
    return database_url(EMBEDDED_DATABASE)


def artifact_root() -> Path:
    """The folder of the embedded store's artifacts."""
    return home() / "artifacts"


_EXPERIMENTS: dict[tuple[str, str], str] = {}
"""By the address of a server and the experiment's name."""


def experiment_id(client: MlflowClient, name: str) -> str:
    """The id of the experiment of this name; made, or brought back from the bin, where needed.

    Others may be about to do the same. A server is asked once, until `forget_experiment`.
    """
    if (known := _EXPERIMENTS.get((client.tracking_uri, name))) is not None:
        return known
    found = tried_again(lambda: _experiment_now(client, name_of(name)))
    if is_server():
        _EXPERIMENTS[client.tracking_uri, name] = found
    return found


def forget_experiment(client: MlflowClient, name: str) -> bool:
    """Ask again next time, as somebody has deleted it meanwhile. Returns whether it was known."""
    return _EXPERIMENTS.pop((client.tracking_uri, name), None) is not None


def _experiment_now(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        embedded = tracking_uri() == embedded_uri()
        location = (artifact_root() / file_name(name)).as_uri() if embedded else None
        return client.create_experiment(name, artifact_location=location, tags=_SHOWN_AS_TRAINING)
    if found.lifecycle_stage == "deleted":
        _bring_back(client, found.experiment_id)
    return str(found.experiment_id)


def _bring_back(client: MlflowClient, experiment: str) -> None:
    try:
        client.restore_experiment(experiment)
    except MlflowException:
        if client.get_experiment(experiment).lifecycle_stage == "deleted":
            raise  # no other process restored it


def comparison_url(experiments: Sequence[str], run_ids: Sequence[str]) -> str:
    """The URL of MLflow's own comparison of runs; of the embedded store, once `./fedstudy ui` serves it."""
    runs = quote(json.dumps(list(run_ids), separators=(",", ":")))
    return f"{server_address()}/#/compare-runs?runs={runs}&experiments={quote(json.dumps(list(experiments)))}"


def run_url(experiment: str, run_id: str) -> str:
    """The URL of a run in the UI; of the embedded store, once `./fedstudy ui` serves it."""
    return f"{server_address()}/#/experiments/{quote(experiment)}/runs/{quote(run_id)}"


def server_address() -> str:
    """The address of the UI; for the embedded store, the one at which `./fedstudy ui` serves it."""
    return without_secrets(tracking_uri()) if tracking_uri().startswith("http") else "http://127.0.0.1:5000"
