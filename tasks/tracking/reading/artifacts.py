"""Artifacts of a run: texts and pictures."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow.artifacts

from tasks.tracking.delivery import run_ids
from tasks.tracking.delivery.sending import the_journal
from tasks.tracking.server.failures import found
from tasks.tracking.server.store import connect


def text_of(run_id: str, file: str) -> str | None:
    """The content of a file; None where the run has none of this name. Raises what says that MLflow is away."""
    if not any(each.path == file for each in connect().list_artifacts(run_id)):
        return None
    return str(mlflow.artifacts.load_text(f"runs:/{run_id}/{file}"))


def bytes_of(run_id: str, file: str) -> bytes | None:
    """The content of a file; None where the run has none of this name. Raises what says that MLflow is away."""
    client = connect()
    if not any(each.path == file for each in client.list_artifacts(run_id)):
        return None
    with TemporaryDirectory() as folder:
        return Path(client.download_artifacts(run_id, file, folder)).read_bytes()


def files_of(run_id: str, folder: str) -> set[str]:
    """The paths of the files in a folder of a run's artifacts; none where MLflow is away or does not have the run."""
    known = run_ids.known(run_id, the_journal().folder)
    if not run_ids.is_known(known, the_journal().folder):
        return set()
    return {each.path for each in found(lambda: connect().list_artifacts(known, folder))}
