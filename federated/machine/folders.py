"""The folder of all files that a study leaves behind, and that of files which come with the installation."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import quote

from federated.foundation.errors import BadInput


def home() -> Path:
    """The folder of FEDSTUDY_HOME, else `var` in the working folder; absolute."""
    try:
        return Path(os.environ.get("FEDSTUDY_HOME") or "var").expanduser().resolve()
    except RuntimeError as error:  # ~name without such a user
        raise BadInput(f"FEDSTUDY_HOME: {os.environ.get('FEDSTUDY_HOME')}: {error}") from error
    except FileNotFoundError as error:
        raise BadInput("the working folder is not there any more; change to one that is") from error


def of_installation(package: str, name: str) -> Path:
    """The file of this name that this version of a package makes, the same for every home; it may not be there.

    `make install` makes them all, see `flows.installation`.
    """
    return Path(sys.prefix, "share", "fedstudy", f"{package}-{version(package)}-{name}")


def has_tables(file: Path) -> bool:
    """Whether this is a whole database with the tables of a known version, as Alembic notes it, and not a damaged one.

    Beside one that keeps a write-ahead log this makes the log's files: ask it of a copy.
    """
    if not file.exists():
        return False
    try:
        with closing(sqlite3.connect(file)) as database:
            checked = database.execute("PRAGMA quick_check(1)").fetchone()
            return (
                checked == ("ok",)
                and database.execute("SELECT 1 FROM alembic_version").fetchone() is not None
            )
    except sqlite3.DatabaseError:
        return False


def database_url(name: str, driver: str = "sqlite") -> str:
    """SQLAlchemy's URL of an SQLite database at home."""
    path = str(home() / name)
    if "?" not in path:
        return f"{driver}:///{path}"
    # SQLite's own URI, else the options of the URL would begin in the path. MLflow takes what follows `sqlite:///` for
    # a path and makes its folder, `file:` and all, in the working folder; with the driver's name it does not.
    stated = "sqlite+pysqlite" if driver == "sqlite" else driver
    return f"{stated}:///file:{quote(path)}?uri=true"


def require_home() -> None:
    """Make the home where it is missing. Raises BadInput where nothing can be written there."""
    try:
        home().mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=home()):
            pass
    except OSError as error:
        raise BadInput(f"FEDSTUDY_HOME: cannot write in {home()}: {error.strerror}") from error
