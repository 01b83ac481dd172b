"""MLflow and its libraries say nothing of their own, and are told so only where they are not."""

import logging
from pathlib import Path

import pytest
from mlflow.utils.file_utils import ArtifactProgressBar

from tasks.tracking.server.store import connect


@pytest.fixture(autouse=True)
def a_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another store than the embedded one, whose tables take seconds to make."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")


def test_loggers_are_told_only_where_their_level_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    connect()
    told: list[tuple[str, int]] = []
    set_level = logging.Logger.setLevel

    def noted(logger: logging.Logger, level: int) -> None:
        told.append((logger.name, level))
        set_level(logger, level)

    monkeypatch.setattr(logging.Logger, "setLevel", noted)
    connect()
    assert told == []
    logging.getLogger("alembic").level = logging.INFO  # as a migration leaves it
    connect()
    assert told == [("alembic", logging.ERROR)]
    assert logging.getLogger("alembic").level == logging.ERROR
    assert logging.getLogger("mlflow.store.db.utils").level == logging.CRITICAL


def test_no_bar_is_drawn_while_files_are_copied() -> None:
    connect()
    with ArtifactProgressBar.files(desc="Downloading artifacts", total=2) as bar:
        assert bar.pbar is None
