"""The code of every logged model ("models from code"): MLflow runs this file when it loads one.

It may import only MLflow and what is logged beside it.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.environment_variables import MLFLOW_ALLOW_PICKLE_DESERIALIZATION
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class RawRowsModel(PythonModel):
    """Answers for raw rows: the rows of the table, arrays, texts or images that the study was given."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model in the folder that is logged beside this file."""
        folder = Path(context.artifacts["model"])
        code = context.model_config["code"]
        _import_from(folder.parents[1] / "code" / f"{code}.zip")
        predictor = importlib.import_module(f"{code}.predictor")
        allowed = bool(MLFLOW_ALLOW_PICKLE_DESERIALIZATION.get())  # type: ignore[no-untyped-call]
        self._predictor = predictor.Predictor(folder, _frozen(folder), allow_pickle=allowed)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Answers, one row for each row given. model_input: an array, for models of arrays."""
        answers: pd.DataFrame = self._predictor.predict(model_input)
        return answers


def _import_from(archive: Path) -> None:
    """Let Python find what is packed in a file, as MLflow does for a folder."""
    if str(archive) not in sys.path:
        sys.path.insert(0, str(archive))


def _frozen(folder: Path) -> Path | None:
    """The file of frozen parts that several runs share, fetched from the run that has it; None: in the folder."""
    if not (stated := folder / "frozen.json").exists():
        return None
    where: dict[str, Any] = json.loads(stated.read_text(encoding="utf-8"))
    return Path(mlflow.artifacts.download_artifacts(run_id=where["run_id"], artifact_path=where["path"]))


set_model(RawRowsModel())
