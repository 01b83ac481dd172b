"""Predictions of a logged or registered model for the rows of a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import yaml
from mlflow.exceptions import MlflowException

from federated.datasets.csv_files.format import CsvFormat
from federated.datasets.csv_files.read import read_csv
from federated.foundation.errors import BadInput
from federated.machine.files import whole
from tasks.tracking.delivery.sending import address
from tasks.tracking.models.registry import CHAMPION
from tasks.tracking.reading.artifacts import text_of
from tasks.tracking.server.failures import answered, reason
from tasks.tracking.server.store import connect

_RUN = re.compile(r"[0-9a-f]{32}")
_CSV_OPTIONS = ("separator", "missing_values", "decimal", "thousands", "encoding", "header", "names")


def score_file(model: str, rows: Path, out: Path) -> int:
    """Write the predictions of a model for the rows of a file as CSV, in their order; the number of rows.

    model: a registered model (its champion), NAME@ALIAS, NAME/VERSION, the id of a run, or an address that MLflow
    knows. rows: a CSV file as the study's, Parquet, JSONL, an .npy or .npz file (its array `inputs`), or a folder of
    images. Raises BadInput.
    """
    if not rows.exists():
        raise BadInput(f"rows: there is no file {rows}")
    connect()
    uri = _uri(model)
    with answered(address()):
        loaded = _loaded(model, uri)
        found = _rows(rows, _dataset_of(loaded))
    answers = _predicted(loaded, found.rows, rows)
    answers.insert(0, found.name, found.labels)
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole(out) as file:
        answers.to_csv(file, index=False)
    return len(answers)


class _Rows:
    """Raw rows with the column that names them in the output: `row`, from 1, or `file`."""

    def __init__(self, rows: Any, files: list[str] | None = None) -> None:
        self.rows = rows
        self.name = "row" if files is None else "file"
        self.labels = list(range(1, len(rows) + 1)) if files is None else files


def _uri(model: str) -> str:
    if "://" in model or model.startswith(("models:/", "runs:/")):
        return model
    if _RUN.fullmatch(model):
        return f"runs:/{model}/model"
    return f"models:/{model}" if "@" in model or "/" in model else f"models:/{model}@{CHAMPION}"


def _loaded(model: str, uri: str) -> Any:
    try:
        return mlflow.pyfunc.load_model(uri)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"):
            raise BadInput(f"model: {model!r} is not in MLflow at {address()}: {reason(error)}") from error
        raise
    except ValueError as error:
        raise BadInput(f"model: {error}") from error


def _dataset_of(loaded: Any) -> dict[str, Any]:
    """The arguments of the data set of the run that trained a model; {} where they are not known."""
    run_id = getattr(loaded.metadata, "run_id", None) or _run_of(loaded.metadata.model_id)
    text = text_of(run_id, "config.yaml") if run_id else None
    dataset = (yaml.safe_load(text) if text else {}).get("dataset", {})
    return dataset if isinstance(dataset, dict) else {"name": dataset}


def _run_of(model_id: str | None) -> str | None:
    return connect().get_logged_model(model_id).source_run_id if model_id else None


def _rows(path: Path, dataset: dict[str, Any]) -> _Rows:
    """The rows of a file, read as the study read its own. Raises BadInput."""
    try:
        if path.is_dir():
            files = sorted(
                file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")
            )
            contents = pd.DataFrame({"image": [file.read_bytes() for file in files]})
            return _Rows(contents, [file.relative_to(path).as_posix() for file in files])
        kind = path.suffix.lower()
        if kind in (".npy", ".npz"):
            return _Rows(_array(path))
        if kind in (".parquet", ".pq"):
            return _Rows(pd.read_parquet(path))
        if kind in (".jsonl", ".ndjson"):
            return _Rows(pd.read_json(path, lines=True))
        return _Rows(_csv(path, dataset))
    except (ValueError, OSError, EOFError) as error:
        raise BadInput(f"rows: {path} cannot be read: {error}") from error


def _array(path: Path) -> np.ndarray:
    found = np.load(path, allow_pickle=False)
    if isinstance(found, np.ndarray):
        return found
    if "inputs" not in found.files:
        raise ValueError(f"it has no array 'inputs'; it has: {', '.join(found.files)}")
    return np.asarray(found["inputs"])


def _csv(path: Path, dataset: dict[str, Any]) -> pd.DataFrame:
    stated = {name: dataset[name] for name in _CSV_OPTIONS if dataset.get(name) is not None}
    stated |= {name: tuple(map(str, stated[name])) for name in ("missing_values", "names") if name in stated}
    categorical = [str(name) for name in dataset.get("categorical") or ()]
    table = read_csv(path, CsvFormat(**stated), [], categorical, inferred=False)
    texts = {name: table.written[name] for name in categorical if name in table.written.columns}
    return table.frame.assign(**texts)


def _predicted(loaded: Any, rows: Any, path: Path) -> pd.DataFrame:
    if not len(rows):
        raise BadInput(f"rows: {path} has none")
    try:
        found: pd.DataFrame = loaded.predict(rows)
    except (ValueError, MlflowException) as error:
        raise BadInput(f"rows: {path}: {reason(error)}") from error
    return found
