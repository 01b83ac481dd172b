"""The bin of the embedded store: deleted runs, and the files of runs that the database no longer has."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from federated.machine.files import changed_at
from federated.machine.folders import home
from tasks.tracking.server.store import EMBEDDED_DATABASE, artifact_root, embedded_uri, tracking_uri

_A_RUN = re.compile(r"[0-9a-f]{32}")


def is_embedded() -> bool:
    """Whether runs are in the embedded store, and it is there."""
    return tracking_uri() == embedded_uri() and (home() / EMBEDDED_DATABASE).exists()


def deleted_runs(since: float) -> dict[str, Path | None]:
    """Id of each run that was deleted before that time (seconds since 1970) -> the folder of its files at home.

    None where they are elsewhere.
    """
    rows = _read(
        "SELECT run_uuid, artifact_uri FROM runs WHERE lifecycle_stage = 'deleted' AND deleted_time < ?",
        (int(since * 1000),),
    )
    return {str(run): _folder(str(run), str(address)) for run, address in rows}


def above_runs() -> set[str]:
    """Ids of the runs below which there is one that is not deleted."""
    rows = _read(
        "SELECT DISTINCT tags.value FROM tags JOIN runs ON runs.run_uuid = tags.run_uuid "
        "WHERE tags.key = 'mlflow.parentRunId' AND runs.lifecycle_stage = 'active'",
        (),
    )
    return {str(run) for (run,) in rows}


def remove_runs(runs: Iterable[str]) -> None:
    """Remove deleted runs from the database, as `mlflow gc` does."""
    made: Any = SqlAlchemyStore  # which has no types
    store = made(embedded_uri(), artifact_root().as_uri())
    for run in runs:
        store._hard_delete_run(run)


def files_without_run(since: float) -> list[Path]:
    """Folders of runs that the database does not have, and in which nothing changed since that time.

    Of its own experiments alone: what lies beside them may belong to another database. Not links to other folders.
    """
    known = {str(run) for (run,) in _read("SELECT run_uuid FROM runs", ())}
    places = [_path(str(at)) for (at,) in _read("SELECT artifact_location FROM experiments", ())]
    ours = [place for place in places if place.parent == artifact_root() and place.is_dir()]
    named = [each for place in ours for each in place.iterdir() if _A_RUN.fullmatch(each.name)]
    folders = [each for each in named if each.is_dir() and not each.is_symlink()]
    return sorted(each for each in folders if each.name not in known and _changed(each) < since)


def _changed(folder: Path) -> float:
    return max(changed_at(each) for each in [folder, *folder.rglob("*")])


def _folder(run: str, address: str) -> Path | None:
    """The folder of a run's files, if it is named after the run and lies below those of the home."""
    folder = _path(address).parent
    return folder if folder.name == run and folder.is_relative_to(artifact_root()) else None


def _path(address: str) -> Path:
    return Path(unquote(urlsplit(address).path))


def _read(query: str, values: tuple[int, ...]) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(home() / EMBEDDED_DATABASE, timeout=60)) as database:
        return list(database.execute(query, values))
