"""Predictions of a logged or registered model for the rows of a file."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow.pyfunc
import pandas as pd
import yaml
from mlflow.exceptions import MlflowException

from federated.datasets.text_files.blocks import UNREADABLE
from federated.foundation.errors import BadInput
from federated.foundation.texts import listed, meant
from federated.machine.files import whole
from federated.preprocessing.raw_rows import KINDS, odd_rows
from tasks.tracking.delivery.sending import address
from tasks.tracking.models.registry import CHAMPION, models_of_studies
from tasks.tracking.models.rows_to_score import Rows, Trained, rows_of
from tasks.tracking.reading.artifacts import text_of
from tasks.tracking.server.failures import answered, reason
from tasks.tracking.server.store import connect

_RUN = re.compile(r"[0-9a-f]{32}")


def score_file(model: str, rows: Path, out: Path, note: Callable[[str], object] = lambda line: None) -> int:
    """Write the predictions of a model for the rows of a file as CSV, in their order; the number of rows.

    model: a registered model (its champion), NAME@ALIAS, NAME/VERSION, the id of a run, or an address that MLflow
    knows. rows: a CSV file as the study's, Parquet, JSONL, an .npy or .npz file (its array `inputs`), or a folder of
    images. note: is told in a line of how many rows something was left out or filled in. Raises BadInput.
    """
    if not rows.exists():
        raise BadInput(f"rows: there is no file {rows}")
    connect()
    uri = uri_of(model)
    with TemporaryDirectory() as temporary:
        with answered(address()):
            loaded = _loaded(model, uri, temporary)
            trained = Trained(_stated_rows(Path(temporary)), _dataset_of(loaded))
        found = _read(rows, trained)
        odd = Counter[str]()
        answers = _predicted(loaded, _counted(found.blocks, trained, odd), rows)
    if found.files is None:
        answers.insert(0, "row", range(1, len(answers) + 1))
    else:
        answers.insert(0, "file", list(found.files))
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole(out) as file:
        answers.to_csv(file, index=False)
    if said := [f"{count:,} {what}" for what, count in odd.items() if count]:
        note(f"of {len(answers):,} rows: {', '.join(said)}")
    return len(answers)


def _counted(blocks: Iterator[Any], trained: Trained, odd: Counter[str]) -> Iterator[Any]:
    """The same blocks; once the model has answered for one, its odd rows are counted: an error in it is the model's."""
    stated = trained.rows
    for rows in blocks:
        yield rows
        if stated.get("name") in KINDS and len(rows):
            odd.update(odd_rows(stated["name"], stated["values"], rows))


def _read(path: Path, trained: Trained) -> Rows:
    try:
        return rows_of(path, trained)
    except UNREADABLE as error:
        raise BadInput(f"rows: {path} cannot be read: {error}") from error


def uri_of(model: str) -> str:
    """The address in MLflow of a model, as `score_file` takes it."""
    if "://" in model or model.startswith(("models:/", "runs:/")):
        return model
    if _RUN.fullmatch(model):
        return f"runs:/{model}/model"
    return f"models:/{model}" if "@" in model or "/" in model else f"models:/{model}@{CHAMPION}"


def _loaded(model: str, uri: str, folder: str) -> Any:
    """folder: where the model's files go."""
    try:
        return mlflow.pyfunc.load_model(uri, dst_path=folder)
    except MlflowException as error:
        if (missing := not_in_mlflow(model, error)) is not None:
            raise missing from error
        raise
    except ValueError as error:
        raise BadInput(f"model: {error}") from error


def not_in_mlflow(model: str, error: MlflowException) -> BadInput | None:
    """What to raise where MLflow says that it has no such model; None where it says something else."""
    if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"):
        return None
    return BadInput(f"model: {model!r} is not in MLflow at {address()}: {reason(error)}{_instead(model)}")


def _instead(model: str) -> str:
    """Which models there are, where one was asked for by its name."""
    if not uri_of(model).startswith("models:/") or model.startswith("models:/"):
        return ""
    known = [each.name for each in models_of_studies()]
    name = re.split("[@/]", model)[0]
    near = "" if name in known else meant(name, known)
    return f"; {near}registered are: {listed(known) or 'none yet'}"


def _dataset_of(loaded: Any) -> dict[str, Any]:
    """The arguments of the data set of the run that trained a model; {} where they are not known."""
    run_id = getattr(loaded.metadata, "run_id", None) or run_of(loaded.metadata.model_id)
    text = text_of(run_id, "config.yaml") if run_id else None
    dataset = (yaml.safe_load(text) if text else {}).get("dataset", {})
    return dataset if isinstance(dataset, dict) else {"name": dataset}


def run_of(model_id: str | None) -> str | None:
    """The run that logged a model."""
    return connect().get_logged_model(model_id).source_run_id if model_id else None


def _stated_rows(folder: Path) -> dict[str, Any]:
    """`name` and `values` of a model's `Preprocessing`; {} for a model that this project did not log."""
    file = next(folder.glob("**/artifacts/model/model.json"), None)
    if file is None:
        return {}
    rows: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["rows"]
    return rows


def _predicted(loaded: Any, blocks: Iterator[Any], path: Path) -> pd.DataFrame:
    """The answers for all blocks. Raises BadInput."""
    answers: list[pd.DataFrame] = []
    schema = loaded.metadata.get_input_schema()
    known = set(schema.input_names()) if schema is not None and schema.has_input_names() else None
    try:
        for rows in blocks:
            if len(rows):
                answers.append(loaded.predict(_of_model(rows, known)))
    except (*UNREADABLE, MlflowException) as error:
        before = sum(map(len, answers))
        after = f" (counted after the first {before:,} rows)" if before else ""
        raise BadInput(f"rows: {path}: {reason(error)}{after}") from error
    if not answers:
        raise BadInput(f"rows: {path} has none")
    return pd.concat(answers, ignore_index=True)


def _of_model(rows: Any, known: set[str] | None) -> Any:
    """The rows without columns that the model does not read, of which MLflow would warn at each call."""
    if known is None or not isinstance(rows, pd.DataFrame):
        return rows
    return rows[[name for name in rows.columns if name in known]]
