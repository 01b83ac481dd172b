"""Runs in MLflow: opened, fed and closed by explicit id, never through the thread's active run."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import yaml
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, InputTag
from pydantic import BaseModel

from federated.config import RunConfig
from federated.errors import bounded
from federated.evaluation import main_metric
from federated.federation import Federation
from federated.study import Run, StudyConfig
from tasks.tracking.environment import environment
from tasks.tracking.failures import tried_again
from tasks.tracking.limits import dataset_of, name_of, parameters_of, tag_of, tags_of
from tasks.tracking.processes import is_dead, this_process
from tasks.tracking.search import running_studies
from tasks.tracking.store import connect, experiment_id

_PARAMETER_BATCH = 100  # what MLflow takes in one call


def open_study(study: StudyConfig) -> str:
    """Open the parent run of a study; its id."""
    client = connect()
    tags = {
        "fedstudy.kind": "study",
        "study": study.name,
        "process": this_process(),
        "mlflow.note.content": study.description,
        **_source_tags(),
    }
    run_id = _create(client, study.name, study.name, tags)
    parameters = {"seeds": study.seeds, "arms": len(study.arm_overrides()), "runs": len(study.runs())}
    parameters |= {"anchors": ", ".join(study.anchors)} if study.anchors else {}
    _log_parameters(
        client, run_id, parameters | {f"axes.{path}": len(values) for path, values in study.axes.items()}
    )
    log_files(run_id, {"study.yaml": as_yaml(study), "environment.json": json.dumps(environment(), indent=2)})
    return run_id


def open_run(run: Run, study: str, parent_run_id: str | None) -> str:
    """Open the MLflow run of one federated run, below its study's where there is one; its id."""
    client = connect()
    tags = {
        "fedstudy.kind": "run",
        "study": study,
        "arm": run.arm,
        "seed": str(run.config.seed),
        "order": str(run.order),
        "run_key": run.config.run_key(),
        "arm_key": run.config.arm_key(),
        "anchor_key": run.config.anchor_key(),
        **({"anchor": run.config.training} if run.config.training != "federated" else {}),
        **({"mlflow.parentRunId": parent_run_id} if parent_run_id else {}),
        **_source_tags(),
    }
    run_id = _create(client, study, run.name, tags)
    _log_parameters(client, run_id, {k: v for k, v in run.config.flat().items() if v is not None})
    log_files(
        run_id, {"config.yaml": as_yaml(run.config), "environment.json": json.dumps(environment(), indent=2)}
    )
    return run_id


@contextmanager
def closing(run_id: str) -> Iterator[None]:
    """End the run when the block ends: FINISHED, FAILED with the reason, or KILLED where a signal ended it."""
    client = connect()
    try:
        yield
    except (Exception, SystemExit) as error:
        client.set_tag(run_id, "failure", tag_of(f"{type(error).__name__}: {bounded(str(error))}"))
        client.set_terminated(run_id, "FAILED")
        raise
    except BaseException:  # KeyboardInterrupt, and what Prefect makes of SIGTERM
        client.set_terminated(run_id, "KILLED")
        raise
    client.set_terminated(run_id, "FINISHED")


def end_lost_runs(parent_run_id: str, status: Literal["FAILED", "KILLED"], why: str) -> None:
    """End the runs below a study that nobody works on any more."""
    client = connect()
    experiment = client.get_run(parent_run_id).info.experiment_id
    below = f"tags.`mlflow.parentRunId` = '{parent_run_id}' and attributes.status = 'RUNNING'"
    for lost in client.search_runs([experiment], below):
        client.set_tag(lost.info.run_id, "failure", why)
        client.set_terminated(lost.info.run_id, status)


def end_dead_studies(name: str) -> None:
    """End what a study of this name has left running in MLflow where its process was killed, and its runs with it."""
    for parent in running_studies(name):
        if is_dead(parent.data.tags.get("process", "")):
            run_id, why = parent.info.run_id, "the process of its study was killed"
            end_lost_runs(run_id, "KILLED", why)
            client = connect()
            client.set_tag(run_id, "failure", why)
            client.set_terminated(
                run_id, "KILLED"
            )  # last: where we are killed here, the next try finds it again


def log_data(run_id: str, config: RunConfig, federation: Federation) -> None:
    """The data set as a logged input with its digest, and the digest of who holds what."""
    examples = federation.examples
    profile = {
        "examples": len(examples.targets),
        "training_examples": int(federation.sizes.sum()),
        "clients": len(federation.clients),
        "unseen_clients": len(federation.unseen),
        **{f"{name}_examples": len(indices) for name, indices in federation.held_out_sets().items()},
        "partition_digest": federation.partition_digest,
    }
    schema = {
        "task": examples.task,
        "input_shape": list(examples.inputs.shape[1:]),
        "input_type": str(examples.inputs.dtype),
        "classes": examples.classes,
    }
    data = dataset_of(
        config.dataset.label(), federation.data_digest, examples.source, schema=schema, profile=profile
    )
    client = connect()
    inputs = [DatasetInput(data, [InputTag("mlflow.data.context", "training")])]
    tried_again(lambda: client.log_inputs(run_id, inputs))
    client.set_tag(run_id, "data_digest", federation.data_digest)
    client.set_tag(run_id, "partition_digest", federation.partition_digest)
    client.set_tag(run_id, "main_metric", main_metric(examples.task))


def log_files(run_id: str, files: Mapping[str, str | bytes]) -> None:
    """Texts and bytes as artifacts, by file name, in one call."""
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            Path(folder, name).write_bytes(data)
        connect().log_artifacts(run_id, folder)


def as_yaml(config: BaseModel) -> str:
    """A resolved config as a study file would state it."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def set_tags(run_id: str, tags: dict[str, str]) -> None:
    """Tags that only the end of a run knows."""
    client = connect()
    for name, value in tags_of(tags).items():
        client.set_tag(run_id, name, value)


def _create(client: MlflowClient, experiment: str, name: str, tags: dict[str, str]) -> str:
    created = client.create_run(experiment_id(client, experiment), run_name=name_of(name), tags=tags_of(tags))
    return str(created.info.run_id)


def _log_parameters(client: MlflowClient, run_id: str, parameters: dict[str, Any]) -> None:
    every = parameters_of(parameters)
    for start in range(0, len(every), _PARAMETER_BATCH):
        client.log_batch(run_id, params=every[start : start + _PARAMETER_BATCH])


def _source_tags() -> dict[str, str]:
    commit = environment()["git_commit"]
    return {
        "mlflow.source.name": _command(),
        "mlflow.source.type": "LOCAL",
        **({"mlflow.source.git.commit": commit} if commit else {}),
    }


def _command() -> str:
    """How this process was started, so that a person can start it again; the program alone where that is too long."""
    program = Path(sys.argv[0])
    start = "python -m flows" if program.parts[-2:] == ("flows", "__main__.py") else str(program.name)
    stated = shlex.join([*start.split(), *sys.argv[1:]])
    return stated if stated == tag_of(stated) else start
