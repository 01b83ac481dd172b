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

    root: the folder of artifacts beside this database. Where the other one is still there, this may be a copy.
    """
    with closing(sqlite3.connect(database)) as opened, opened:
        for before in _roots(opened) - {root.as_uri()}:
            if _is_there(before):
                continue
            for table, column in _PLACES.items():
                change = (
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} LIKE 'file:%' "
                )
                wanted = f"AND substr({column}, 1, ?) = ?"
                length = len(before)
                opened.execute(change + wanted, [root.as_uri(), length + 1, length + 1, f"{before}/"])


def _roots(opened: sqlite3.Connection) -> set[str]:
    """The folders, as addresses, in which experiments have theirs; of those whose folder is called as ours is."""
    locations = opened.execute(
        "SELECT artifact_location FROM experiments WHERE artifact_location LIKE 'file:%'"
    )
    roots = {str(location).rpartition("/")[0] for (location,) in locations}
    return {root for root in roots if root.endswith("/artifacts")}


def _is_there(address: str) -> bool:
    return Path(unquote(urlsplit(address).path)).exists()
