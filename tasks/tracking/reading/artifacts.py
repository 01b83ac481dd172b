"""Artifacts of a run: texts and pictures."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient

from tasks.tracking.delivery import run_ids
from tasks.tracking.delivery.sending import the_journal
from tasks.tracking.fewer_requests.read_back import kept
from tasks.tracking.fewer_requests.run_places import artifacts_of
from tasks.tracking.server.failures import found
from tasks.tracking.server.store import connect


def text_of(run_id: str, file: str) -> str | None:
    """The content of a file; None where the run has none of this name. Raises what says that MLflow is away."""
    found = bytes_of(run_id, file)
    return None if found is None else found.decode("utf-8")


def bytes_of(run_id: str, file: str) -> bytes | None:
    """The content of a file; None where the run has none of this name. Raises what says that MLflow is away."""
    client = connect()
    sent = kept(client.tracking_uri, run_id, file)
    return _fetched(client, run_id, file) if sent is None else sent


def _fetched(client: MlflowClient, run_id: str, file: str) -> bytes | None:
    below = artifacts_of(client, run_id)
    if not any(each.path == file and not each.is_dir for each in below.list_artifacts()):
        return None
    with TemporaryDirectory() as folder:
        fetched = below.download_artifacts(file, folder)  # type: ignore[no-untyped-call]
        return Path(fetched).read_bytes()


def files_of(run_id: str, folder: str) -> set[str]:
    """The paths of the files in a folder of a run's artifacts; none where MLflow is away or does not have the run."""
    known = run_ids.known(run_id, the_journal().folder)
    if not run_ids.is_known(known, the_journal().folder):
        return set()
    return {each.path for each in found(lambda: connect().list_artifacts(known, folder))}
