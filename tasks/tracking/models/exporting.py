"""The low-rank adapter that a run logged, as a folder on this machine."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow.models
import yaml
from mlflow.exceptions import MlflowException

from federated.foundation.errors import BadInput
from federated.report.text.about_tuning import tuning_lines
from tasks.tracking.delivery.sending import address
from tasks.tracking.models.adapter import ADAPTER, why_none
from tasks.tracking.models.scoring import not_in_mlflow, run_of, uri_of
from tasks.tracking.reading.artifacts import text_of
from tasks.tracking.reading.studies import tuned_arms
from tasks.tracking.server.failures import answered
from tasks.tracking.server.store import connect

_OF_RUN = re.compile(r"(?:runs:/)?([0-9a-f]{32})(?:/.*)?")


def export_adapter(model: str, out: Path) -> int:
    """Write the adapter of a model to a folder; its size in bytes.

    model: as of `score_file`. Raises BadInput where the model has none, with the reason, or the folder is there.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"out: {out} is there already; name a folder that is not, or remove it")
    client = connect()
    with answered(address()):
        run_id = _run_id(model)
        if not any(each.path == ADAPTER for each in client.list_artifacts(run_id)):
            raise BadInput(f"model: {model!r} has no adapter to export: {_reason(run_id)}")
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent) as temporary:
            fetched = Path(client.download_artifacts(run_id, ADAPTER, temporary))
            size = sum(file.stat().st_size for file in fetched.iterdir())
            if lines := _tuning(run_id):
                with fetched.joinpath("README.md").open("a", encoding="utf-8") as readme:
                    readme.write("\n".join(["", "## Tuning", "", *(f"- {line}" for line in lines), ""]))
            fetched.rename(out)
    return size


def _tuning(run_id: str) -> list[str]:
    """What the arm of a run tried and chose before, in lines; none where it did not."""
    tags = connect().get_run(run_id).data.tags
    parent = tags.get("mlflow.parentRunId")
    arms = tuned_arms(parent) if parent else []
    return [line for arm in arms if arm.arm == tags.get("arm") for line in tuning_lines(arm)]


def _run_id(model: str) -> str:
    """The run that trained a model. Raises BadInput where there is none."""
    uri = uri_of(model)
    try:
        if stated := _OF_RUN.fullmatch(uri):
            return str(connect().get_run(stated[1]).info.run_id)
        info = mlflow.models.get_model_info(uri)
        found = info.run_id or run_of(info.model_id)
    except MlflowException as error:
        if (missing := not_in_mlflow(model, error)) is not None:
            raise missing from error
        raise
    if not found:
        raise BadInput(f"model: {model!r} in MLflow is of no run")
    return str(found)


def _reason(run_id: str) -> str:
    text = text_of(run_id, "config.yaml")
    config = yaml.safe_load(text) if text else None
    if not isinstance(config, dict):
        return "there is no config.yaml in it, so it is not one federated run; a study has several"
    return why_none(config) or (
        "its clients have models of their own, its run did not end, or an older version of fedstudy logged it; the "
        "logged model has the adapters in its weights"
    )
