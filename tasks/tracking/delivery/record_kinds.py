"""The delivery of each kind of record to MLflow. Every delivery is idempotent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from tasks.tracking.delivery import run_ids
from tasks.tracking.delivery.embedded import read_tag
from tasks.tracking.delivery.logged_model import deliver_model
from tasks.tracking.delivery.metrics import Measured, log_metrics, unless_known
from tasks.tracking.delivery.run_creation import NewRun, create_once, drop_duplicates, is_made_at_once
from tasks.tracking.delivery.set_aside import Record
from tasks.tracking.fewer_requests import holding
from tasks.tracking.fewer_requests.read_back import keep
from tasks.tracking.fewer_requests.run_places import artifacts_of, place_of
from tasks.tracking.fewer_requests.uploads import upload
from tasks.tracking.server.access import answers_now
from tasks.tracking.server.failures import is_gone, tried_again
from tasks.tracking.server.store import connect, experiment_id, forget_experiment, is_sqlite

_PARAMETER_BATCH = 100  # what MLflow takes in one call
_TABLES = "mlflow.loggedArtifacts"

Content = dict[str, Any]


def deliver(record: Record, files: Path | None, journal: Path, again: bool = False) -> None:
    """Tell MLflow. journal: its folder. again: this may be the second time. Raises what MLflow raises."""
    if record.kind == "create":
        tried_again(lambda: _create(record, journal, again))
        return
    if not run_ids.is_known(record.run, journal):
        raise ValueError(f"MLflow has refused to make the run {record.run}")
    run_id = run_ids.known(record.run, journal)
    tried_again(lambda: _KINDS[record.kind](connect(), run_id, record.content, files))


def answers() -> bool:
    """Whether MLflow answers a request."""
    return answers_now(connect())


def _create(record: Record, journal: Path, again: bool) -> None:
    client, content = connect(), record.content
    try:
        _create_in(client, record, experiment_id(client, content["experiment"]), journal, again)
    except Exception as error:
        if not is_gone(error) or not forget_experiment(client, content["experiment"]):
            raise
        _create_in(client, record, experiment_id(client, content["experiment"]), journal, again=True)


def _create_in(client: MlflowClient, record: Record, experiment: str, journal: Path, again: bool) -> None:
    content = record.content
    parent = content["parent"] and run_ids.known(content["parent"], journal)
    tags = {**content["tags"], **({"mlflow.parentRunId": parent} if parent else {})}
    wanted = NewRun(experiment, record.run, content["name"], content["start_time"], tags)
    run_ids.note(record.run, create_once(client, wanted, again), journal if again else None)


def _reopen(client: MlflowClient, run_id: str, content: Content, files: Path | None) -> None:
    client.update_run(run_id, status="RUNNING")
    _tags(client, run_id, content, files)
    if "failure" in client.get_run(run_id).data.tags:
        client.delete_tag(run_id, "failure")


def _parameters(client: MlflowClient, run_id: str, content: Content, files: Path | None) -> None:
    """Those of a run that goes on stay as they are: what does not change results may differ."""
    known = client.get_run(run_id).data.params if content.get("continued") else {}
    every = [Param(name, value) for name, value in content["parameters"].items() if name not in known]
    for start in range(0, len(every), _PARAMETER_BATCH):
        client.log_batch(run_id, params=every[start : start + _PARAMETER_BATCH])


def _metrics(client: MlflowClient, run_id: str, content: Content, files: Path | None) -> None:
    rows = [Measured(*row) for row in content["rows"]]
    log_metrics(run_id, unless_known(client, run_id, rows) if content.get("continued") else rows)


def _batch(client: MlflowClient, run_id: str, content: Content, files: Path | None) -> None:
    """Parameters, tags and metrics together."""
    if content.get("continued"):
        for each in (_parameters, _tags, _metrics):
            each(client, run_id, content, None)
        return
    client.log_batch(
        run_id,
        metrics=[Metric(*row) for row in content["rows"]],
        params=[Param(name, value) for name, value in content["parameters"].items()],
        tags=[RunTag(name, value) for name, value in content["tags"].items()],
    )


def _tags(client: MlflowClient, run_id: str, content: Content, files: Path | None) -> None:
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in content["tags"].items()])


def _experiment_tag(client: MlflowClient, run_id: str, content: Content, files: Path | None) -> None:
    """Of the experiment that the run is in."""
    experiment = place_of(client, run_id).experiment
    client.set_experiment_tag(experiment, content["name"], content["value"])


def _inputs(client: MlflowClient, run_id: str, content: Content, files: Path | None) -> None:
    data = Dataset(**content["dataset"])
    client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])


def _files(client: MlflowClient, run_id: str, content: Content, files: Path | None) -> None:
    assert files is not None
    upload(artifacts_of(client, run_id), files)
    keep(client.tracking_uri, run_id, files)


def _tables(client: MlflowClient, run_id: str, content: Content, files: Path | None) -> None:
    """As `log_table`, which would append to a table that is there already. tags: others, to be set with those."""
    _files(client, run_id, content, files)
    tables = [{"path": name, "type": "table"} for name in content["names"]]
    listed = json.loads(_tag(client, run_id, _TABLES) or "[]")
    tags = dict(content.get("tags", {}))
    if new := [table for table in tables if table not in listed]:
        tags[_TABLES] = json.dumps([*listed, *new])
    wait = is_made_at_once(run_id) and holding.hold_until_end(run_id, {"tags": tags})
    if tags and not wait:
        _tags(client, run_id, {"tags": tags}, None)
    if new:
        _LISTED[run_id] = tags[_TABLES]


_LISTED: dict[str, str] = {}
"""The tag of tables of runs, as this process has set it."""


def _tag(client: MlflowClient, run_id: str, name: str) -> str | None:
    if is_sqlite(client.tracking_uri):
        return read_tag(client.tracking_uri, run_id, name)
    if is_made_at_once(run_id):
        return _LISTED.get(run_id)
    found: str | None = client.get_run(run_id).data.tags.get(name)
    return found


def _table(client: MlflowClient, run_id: str, content: Content, files: Path | None) -> None:
    """One alone, in a journal of an older version."""
    _tables(client, run_id, {"names": [content["name"]]}, files)


def _model(client: MlflowClient, run_id: str, content: Content, files: Path | None) -> None:
    assert files is not None
    deliver_model(client, run_id, files, content["step"])


def _end(client: MlflowClient, run_id: str, content: Content, files: Path | None) -> None:
    """End a run. if_running: skip a run that has ended meanwhile, as its own record may have been pending."""
    if content.get("if_running") and client.get_run(run_id).info.status != "RUNNING":
        return
    if why := content.get("failure"):
        client.set_tag(run_id, "failure", why)
    client.set_terminated(run_id, content["status"], content["end_time"])
    drop_duplicates(client, run_id)


def _end_below(client: MlflowClient, run_id: str, content: Content, files: Path | None) -> None:
    """End the runs below that are still marked RUNNING: all, or the one of an order."""
    experiment = place_of(client, run_id).experiment
    below = f"tags.`mlflow.parentRunId` = '{run_id}' and attributes.status = 'RUNNING'"
    if (order := content.get("order")) is not None:
        below += f" and tags.`order` = '{order}'"
    for lost in client.search_runs([experiment], below):
        _end(client, lost.info.run_id, content, None)


def _conclude(client: MlflowClient, run_id: str, content: Content, files: Path | None) -> None:
    """Compare a study whose results could not be read at its end."""
    from tasks.tracking.studies.concluding import conclude_later  # which tells what it finds

    conclude_later(run_id, content)


_KINDS: dict[str, Callable[[MlflowClient, str, Content, Path | None], None]] = {
    "reopen": _reopen,
    holding.BATCH: _batch,
    "parameters": _parameters,
    "metrics": _metrics,
    "tags": _tags,
    "experiment tag": _experiment_tag,
    "inputs": _inputs,
    "files": _files,
    "tables": _tables,
    "table": _table,
    "model": _model,
    "end": _end,
    "end below": _end_below,
    "conclude": _conclude,
}
