"""The place of a run: its experiment and the folder of its artifacts, which stay as they are and are asked for once."""

from __future__ import annotations

from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository


class Place(NamedTuple):
    """experiment: its id. artifacts: the address of the run's folder."""

    experiment: str
    artifacts: str


_KNOWN: dict[tuple[str, str], Place] = {}
"""By the address of the store and the run's id."""


def note(client: MlflowClient, run_id: str, place: Place) -> None:
    """Keep what MLflow has answered."""
    _KNOWN[client.tracking_uri, run_id] = place


def noted(client: MlflowClient, run: MlflowRun) -> MlflowRun:
    """The run, whose place is kept."""
    note(client, run.info.run_id, Place(str(run.info.experiment_id), str(run.info.artifact_uri)))
    return run


def place_of(client: MlflowClient, run_id: str) -> Place:
    """The place of a run. Raises what MLflow raises."""
    if (client.tracking_uri, run_id) not in _KNOWN:
        noted(client, client.get_run(run_id))
    return _KNOWN[client.tracking_uri, run_id]


def artifacts_of(client: MlflowClient, run_id: str) -> ArtifactRepository:
    """The folder of a run's artifacts."""
    return get_artifact_repository(place_of(client, run_id).artifacts, tracking_uri=client.tracking_uri)
