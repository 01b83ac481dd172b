"""A home that was moved or renamed: MLflow's database holds the paths of artifacts as they were when they were made."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

_PLACES = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "source",
}
"""Columns of MLflow's tables that hold the address of a file."""


def follow(database: Path, root: Path) -> None:
    """Let addresses of artifacts lead to the folder where they are now, where the one that they name is gone.

    root: the folder of artifacts beside this database. Where an experiment's other folder is still there this may be a
    copy, and where it has none in ours it was never here; both stay as they are.
    """
    with closing(sqlite3.connect(database, timeout=60)) as opened, opened:
        for before, now in _moved(opened, root):
            for table, column in _PLACES.items():
                opened.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                    f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    [now, len(before) + 1, before, len(before) + 1, f"{before}/"],
                )


def _moved(opened: sqlite3.Connection, root: Path) -> list[tuple[str, str]]:
    """(the address of an experiment's folder, that of where it is now), of those that moved with their home."""
    found = opened.execute("SELECT artifact_location FROM experiments WHERE artifact_location LIKE 'file:%'")
    pairs = [(str(before), f"{root.as_uri()}/{before.rpartition('/')[2]}") for (before,) in found]
    return [
        (before, now) for before, now in pairs if before != now and _is_there(now) and not _is_there(before)
    ]


def _is_there(address: str) -> bool:
    try:
        return Path(unquote(urlsplit(address).path)).exists()
    except PermissionError:  # of another user's folder: not there for us
        return False
