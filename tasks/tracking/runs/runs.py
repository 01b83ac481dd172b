"""Runs in MLflow: opened, fed and closed by explicit id, never through the thread's active run."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from pandas import DataFrame
from pydantic import BaseModel

from federated.config.run import RunConfig
from federated.config.user_choices import own_code
from federated.evaluation.measure_tags import measure_tags
from federated.evaluation.sets import fitted_profile
from federated.federation.profile import data_profile
from federated.foundation.addresses import without_secrets
from federated.foundation.errors import bounded
from federated.foundation.texts import listed
from federated.run.preparing.judging.chosen_by import without_a_model
from federated.run.preparing.judging.scoring import run_scoring
from federated.run.setup import Setup
from federated.study.study import Run, StudyConfig
from federated.study.yaml_values import text_of_values
from tasks.tracking.delivery.messages import show
from tasks.tracking.delivery.sending import create, now, send, send_held
from tasks.tracking.reading.overrides import overrides_tag
from tasks.tracking.reading.results import COMMIT
from tasks.tracking.reading.search import below_ended_studies, on_their_own, still_running
from tasks.tracking.runs.digests import digest_tags
from tasks.tracking.runs.environment import environment, environment_json
from tasks.tracking.server.failures import found
from tasks.tracking.server.limits import dataset_of, name_of, parameters_of, tag_of, tags_of
from tasks.tracking.server.processes import is_dead, this_process

Status = Literal["FINISHED", "FAILED", "KILLED"]


def open_study(study: StudyConfig, more: Mapping[str, str] | None = None) -> str:
    """Open the parent run of a study; its id. more: tags besides, with which another process will look for it."""
    tags = {
        "fedstudy.kind": "study",
        "study": study.name,
        "study_key": study_key(study),
        "arms_key": arms_key(study),
        "process": this_process(),
        "mlflow.note.content": study.description,
        **(_source_tags() | dict(more or {})),
    }
    run_id = create(study.name, name_of(study.name), tags_of(tags), None)
    with ended_if_it_fails(run_id):
        log_study_parameters(run_id, study)
        log_files(run_id, {"study.yaml": as_yaml(study), "environment.json": environment_json()})
    return run_id


def study_key(study: StudyConfig) -> str:
    """Equal for studies of the same runs: what compares and describes them may differ."""
    return _key([study.name, *(f"{run.order} {run.arm} {run.config.run_key()}" for run in study.runs())])


def arms_key(study: StudyConfig) -> str:
    """Equal for studies of the same arms, in the same order: their seeds may differ."""
    arms = dict.fromkeys(f"{run.arm} {run.config.arm_key()}" for run in study.runs())
    return _key([study.name, *arms])


def _key(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def log_study_parameters(run_id: str, study: StudyConfig) -> None:
    """Its seeds, arms, runs and axes as parameters, which stay what they are where the study goes on with more."""
    parameters = {"seeds": study.seeds, "arms": len(study.arm_overrides()), "runs": len(study.runs())}
    parameters |= {"anchors": ", ".join(study.anchors)} if study.anchors else {}
    log_parameters(run_id, parameters | {f"axes.{path}": len(values) for path, values in study.axes.items()})


def open_run(run: Run, study: str, parent_run_id: str | None) -> str:
    """Open the MLflow run of one federated run, below its study's where there is one; its id."""
    tags = {
        "fedstudy.kind": "run",
        "study": study,
        "arm": run.arm,
        "seed": str(run.config.seed),
        "order": str(run.order),
        "run_key": run.config.run_key(),
        "arm_key": run.config.arm_key(),
        "anchor_key": run.anchor_key or run.config.anchor_key(),
        **overrides_tag(run.overrides),
        **code_tag(run.config),
        **({} if run.config.kind.has_server else {"anchor": run.config.training}),
        **({} if parent_run_id else {"process": this_process()}),
        **_source_tags(),
    }
    run_id = create(study, name_of(run.name), tags_of(tags), parent_run_id)
    with ended_if_it_fails(run_id):
        describe_run(run_id, run)
    return run_id


def describe_run(run_id: str, run: Run) -> None:
    """Log the config of a run, as parameters and a file."""
    log_parameters(run_id, {k: v for k, v in run.config.flat().items() if v is not None})
    log_files(run_id, {"config.yaml": as_yaml(run.config), "environment.json": environment_json()})


@contextmanager
def ended_if_it_fails(run_id: str) -> Iterator[None]:
    """A run that has just been made and whose block does not end well is ended, so that none is left running."""
    try:
        yield
    except BaseException as error:
        _end_for(run_id, error)
        raise


@contextmanager
def closing(run_id: str) -> Iterator[None]:
    """End the run when the block ends: FINISHED, FAILED with the reason, or KILLED where a signal ended it."""
    with ended_if_it_fails(run_id):
        yield
        send_held(run_id, before="end")  # a run of which MLflow refuses some is not finished
    end_run(run_id, "FINISHED")


def _end_for(run_id: str, error: BaseException) -> None:
    if isinstance(error, Exception | SystemExit):
        end_run(run_id, "FAILED", f"{type(error).__name__}: {bounded(str(error))}")
    else:  # KeyboardInterrupt, and what Prefect makes of SIGTERM
        end_run(run_id, "KILLED")


def end_run(run_id: str, status: Status, failure: str = "", if_running: bool = False) -> None:
    """End the run. If neither MLflow nor the journal can be written, the next study or `sync` ends it.

    if_running: only where it has not ended by the time of delivery, as its own process may have journalled its end.
    """
    end = {"status": status, "end_time": now(), "failure": tag_of(failure), "if_running": if_running}
    try:
        send("end", run_id, None, **end)
    except OSError as error:
        show(f"{run_id} is {status}, which could not be recorded: {error}")


def end_lost_runs(parent_run_id: str, status: Status, why: str, order: int | None = None) -> None:
    """End the abandoned runs below a study: all, or the one of this order."""
    send("end below", parent_run_id, status=status, end_time=now(), failure=why, order=order)


def end_dead_studies() -> None:
    """End what dead processes have left running in MLflow: studies with the runs below them, runs of no study, and
    runs below a study that has ended, such as one that was made while an interrupt arrived.
    """
    running = found(still_running)
    for left in on_their_own(running):
        if is_dead(left.data.tags.get("process", "")):
            run_id, why = left.info.run_id, "the process of its study was killed"
            end_lost_runs(run_id, "KILLED", why)
            # Last: where we are killed here, the next try finds it again.
            end_run(run_id, "KILLED", why, if_running=True)
    for run, parent in found(lambda: below_ended_studies(running)):
        if is_dead(parent.data.tags.get("process", "")):
            end_run(run.info.run_id, "KILLED", "its study ended without it", if_running=True)


def log_data(run_id: str, setup: Setup) -> None:
    """The data set as a logged input with its digest, and the digest of who holds what.

    The counts are a tag as well: MLflow keeps one profile for all runs with the same data, however they are divided.
    """
    config, federation, examples = setup.config, setup.federation, setup.federation.examples
    schema = {
        "task": examples.task.name,
        "input_shape": list(examples.inputs.shape[1:]),
        "input_type": str(examples.inputs.dtype),
        "classes": examples.class_names,
    }
    profile = data_profile(federation) | fitted_profile(federation, config.evaluation.unseen_fit, config.seed)
    digest = federation.data_digest
    data = dataset_of(config.dataset.label(), digest, examples.source, schema=schema, profile=profile)
    send("inputs", run_id, dataset=dict(data))
    names = {"unseen_clients": federation.unseen_names, "tuning_clients": federation.tuning_names}
    clients = {tag: listed(each) for tag, each in names.items() if each}
    without = without_a_model(config, setup.trainers, setup.parts)
    measures = measure_tags(run_scoring(config, examples), federation, without, config.evaluation.judged_on)
    measures |= {} if setup.stop is None else {"stop_by": setup.stop.metric}
    set_tags(run_id, {**digest_tags(setup), **clients, **measures, "data": json.dumps(profile)})


def log_files(run_id: str, files: Mapping[str, str | bytes]) -> None:
    """Texts and bytes as artifacts, by file name or path, in one call."""
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
            Path(folder, name).write_bytes(data)
        send("files", run_id, Path(folder))


def log_tables(run_id: str, tables: Mapping[str, Mapping[str, Sequence[Any]]], **tags: str) -> None:
    """Tables by file name, each column by column, as JSON artifacts that MLflow shows as tables; and tags; in one call.

    A table without columns is left out.
    """
    names = [name for name, table in tables.items() if table]
    with TemporaryDirectory() as folder:
        for name in names:
            frame = DataFrame(dict(tables[name]))
            frame.to_json(Path(folder, name), orient="split", index=False, date_format="iso")
        if names or tags:
            send("tables", run_id, Path(folder), names=names, tags=tags_of(tags))


def as_yaml(config: BaseModel) -> str:
    """A resolved config as a study file would state it."""
    return text_of_values(config.model_dump(mode="json"))


def set_tags(run_id: str, tags: dict[str, str]) -> None:
    """Tags that only the end of a run knows."""
    send("tags", run_id, tags=tags_of(tags))


def log_parameters(run_id: str, parameters: dict[str, Any]) -> None:
    """Parameters besides those of the config."""
    every = {parameter.key: parameter.value for parameter in parameters_of(parameters)}
    send("parameters", run_id, parameters=every)


def code_tag(config: RunConfig) -> dict[str, str]:
    """The version of the user code that a run ran: a digest of its source by name."""
    named = [f"{name} {digest}" for name, digest in own_code(config).items()]
    return tags_of({"own_code": ", ".join(named)} if named else {})


def _source_tags() -> dict[str, str]:
    commit = environment()["git_commit"]
    return {
        "mlflow.source.name": _command(),
        "mlflow.source.type": "LOCAL",
        **({COMMIT: commit} if commit else {}),
    }


def _command() -> str:
    """The command that started this process, for a rerun; only the program where the command is too long."""
    program = Path(sys.argv[0])
    start = "./fedstudy" if program.parts[-2:] == ("flows", "__main__.py") else str(program.name)
    stated = without_secrets(shlex.join([*start.split(), *sys.argv[1:]]))
    return stated if stated == tag_of(stated) else start
