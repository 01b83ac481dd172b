"""The folder of all files that a study leaves behind, its size, and that of files which come with the installation."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import quote

from federated.foundation.errors import BadInput
from federated.foundation.texts import listed

_MOST_FILES = 200_000
"""Of the home that are looked at, a second or two; beyond, what is said is a lower bound."""
_MOST_NAMED = 4
_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def home() -> Path:
    """The folder of FEDSTUDY_HOME, else `var` in the working folder; absolute."""
    try:
        return Path(os.environ.get("FEDSTUDY_HOME") or "var").expanduser().resolve()
    except RuntimeError as error:  # ~name without such a user
        raise BadInput(f"FEDSTUDY_HOME: {os.environ.get('FEDSTUDY_HOME')}: {error}") from error
    except FileNotFoundError as error:
        raise BadInput("the working folder is not there any more; change to one that is") from error


def shared_folder() -> Path | None:
    """The folder of FEDSTUDY_CHECKPOINTS, which several machines share; None where each has what it needs at home."""
    stated = os.environ.get("FEDSTUDY_CHECKPOINTS")
    try:
        folder = Path(stated).expanduser() if stated else None
    except RuntimeError as error:  # ~name without such a user
        raise BadInput(f"FEDSTUDY_CHECKPOINTS: {stated}: {error}") from error
    if folder is not None and not folder.is_absolute():
        raise BadInput(
            f"FEDSTUDY_CHECKPOINTS: {stated}: must be an absolute path, as each process looks from a folder of its own"
        )
    return None if folder is None else folder.resolve()


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
    _require_folder("FEDSTUDY_HOME", home())


def require_shared_folder() -> None:
    """Make the folder of FEDSTUDY_CHECKPOINTS, where one is stated. Raises BadInput as `require_home`."""
    if (folder := shared_folder()) is not None:
        for below in (folder, folder / "processes", folder / "claims"):  # which another user may have made
            _require_folder("FEDSTUDY_CHECKPOINTS", below)


def _require_folder(variable: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BadInput(f"{variable}: cannot write in {folder}: {error.strerror}") from error


def bytes_below(path: Path) -> int:
    """The bytes of a file, or of all files below a folder; links are not followed, what goes meanwhile is left out."""
    if not path.is_dir() or path.is_symlink():
        with suppress(FileNotFoundError):
            return path.lstat().st_size
        return 0
    return sum(_sizes(path))


def home_in_words() -> str:
    """`1.2 GB in /data/home: artifacts 0.81 GB, features 0.30 GB, ...`, the largest parts first."""
    left, parts = _MOST_FILES, dict[str, int]()
    for entry in sorted(home().iterdir()):
        total = 0
        for size in _sizes(entry) if entry.is_dir() and not entry.is_symlink() else [bytes_below(entry)]:
            total, left = total + size, left - 1
            if not left:
                break
        parts[entry.name] = total
        if not left:
            break
    largest = sorted(parts, key=lambda name: -parts[name])
    named = listed([f"{name} {amount(parts[name])}" for name in largest[:_MOST_NAMED]])
    at_least = "" if left else "at least "
    return f"{at_least}{amount(sum(parts.values()))} in {home()}: {named}"


def amount(size: int) -> str:
    """`1.2 GB`, `13 MB`, `970 bytes`: two significant digits."""
    for unit, name in _UNITS:
        if size >= unit:
            value = size / unit
            return f"{value:,.0f} {name}" if value >= 9.95 else f"{value:.1f} {name}"
    return f"{size} bytes"


def _sizes(folder: Path) -> Iterator[int]:
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                yield os.lstat(os.path.join(place, name)).st_size
