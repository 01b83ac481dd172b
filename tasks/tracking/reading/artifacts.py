"""Text artifacts of a run."""

from __future__ import annotations

import mlflow.artifacts

from tasks.tracking.server.store import connect


def text_of(run_id: str, file: str) -> str | None:
    """The content of a file; None where the run has none of this name. Raises what says that MLflow is away."""
    if not any(each.path == file for each in connect().list_artifacts(run_id)):
        return None
    return str(mlflow.artifacts.load_text(f"runs:/{run_id}/{file}"))
