"""A saved model as a logged model of MLflow."""

from __future__ import annotations

import json
import math
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, Metric
from mlflow.entities import Run as MlflowRun
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from tasks.tracking.delivery.embedded import finish_model
from tasks.tracking.delivery.run_creation import is_made_at_once
from tasks.tracking.fewer_requests.uploads import upload
from tasks.tracking.server.store import is_sqlite

_NAME = "model"
_ABOUT = "MLmodel"

_TRIED: set[str] = set()
"""Runs whose model this process has begun to deliver."""


_DELIVERED: dict[str, str] = {}
"""Run -> the id of its model, which this process has delivered to a server."""


def delivered_model(run_id: str) -> str | None:
    """The id of a run's model where this process has delivered it."""
    return _DELIVERED.get(run_id)


def deliver_model(client: MlflowClient, run_id: str, files: Path, step: int) -> None:
    """Make the model saved in `files` an output of the run, with the run's metrics of this step.

    `Model.log` would do it, given the run's id, but reads the whole history of every metric (1.8 s of 2,800 rounds),
    and makes another model where it is called again.
    """
    run = client.get_run(run_id)
    if run.outputs is not None and run.outputs.model_outputs:
        return
    begun = None if is_made_at_once(run_id) and run_id not in _TRIED else _begun(client, run)
    _TRIED.add(run_id)
    made = begun or client.create_logged_model(
        run.info.experiment_id, _NAME, source_run_id=run_id, params=run.data.params
    )
    with TemporaryDirectory() as folder:
        copy = _named(files, Path(folder), made)
        _say_where_frozen(copy, run)
        upload(get_artifact_repository(made.artifact_location, tracking_uri=client.tracking_uri), copy)
    metrics = [
        Metric(one.key, one.value, one.timestamp, one.step, made.model_id, run_id=run_id)
        for one in run.data.to_proto().metrics
        if one.step == step
        and not math.isnan(one.value)  # for which a model would have 0, the best of all losses
    ]
    _finish(client, run_id, made, step, metrics)


def _finish(client: MlflowClient, run_id: str, made: LoggedModel, step: int, metrics: list[Metric]) -> None:
    """The model is ready, an output of the run, and has these metrics."""
    if is_sqlite(client.tracking_uri):
        finish_model(client.tracking_uri, run_id, made, step, metrics, time.time_ns() // 1_000_000)
        return
    client.finalize_logged_model(made.model_id, "READY")
    client.log_batch(run_id, metrics=metrics)
    client.log_outputs(
        run_id, [LoggedModelOutput(made.model_id, step)]
    )  # last: with it the model counts as delivered
    _DELIVERED[run_id] = made.model_id


def _begun(client: MlflowClient, run: MlflowRun) -> LoggedModel | None:
    """The model of a delivery that was interrupted."""
    found = client.search_logged_models(
        [run.info.experiment_id], f"source_run_id = '{run.info.run_id}'", max_results=1
    )
    return found[0] if found else None


def _named(files: Path, folder: Path, made: LoggedModel) -> Path:
    """A copy that says which logged model it is."""
    copy = folder / _NAME
    shutil.copytree(files, copy)
    which = {"model_uuid": made.model_id, "model_id": made.model_id, "artifact_path": made.artifact_location}
    write_about(copy, {**read_about(copy), **which})
    return copy


def read_about(folder: Path) -> dict[str, Any]:
    """MLflow's file about a saved model; with libyaml, without which `Model.load` takes ten times as long."""
    text = folder.joinpath(_ABOUT).read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return found


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """Write it, as `Model.save` does."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(about, Dumper=dumper, default_flow_style=False)
    folder.joinpath(_ABOUT).write_text(text, encoding="utf-8")


def _say_where_frozen(folder: Path, run: MlflowRun) -> None:
    """Note the run that has the frozen parts, which all runs of a study share: the study's, where there is one."""
    for stated in folder.glob("artifacts/model/frozen.json"):
        where = json.loads(stated.read_text(encoding="utf-8"))
        run_id = run.data.tags.get("mlflow.parentRunId", run.info.run_id)
        stated.write_text(json.dumps({**where, "run_id": run_id}), encoding="utf-8")
