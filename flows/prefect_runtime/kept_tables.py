"""The tables of a new Prefect database, kept with the installation: to make them takes Prefect several seconds."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

from federated.machine.files import whole
from federated.machine.folders import has_tables, of_installation

_PACKAGE, _NAME = "prefect", "tables.db"
_SQLITE = "sqlite+aiosqlite:///"


def provide_tables(url: str) -> None:
    """Make a database that is not there yet from the one that is kept; without one Prefect will make its own.

    url: of the database, as Prefect has it. A database that is there, whoever is making it, stays as it is.
    """
    path, kept = url.removeprefix(_SQLITE), of_installation(_PACKAGE, _NAME)
    if path in (url, ":memory:") or "?" in path or not kept.exists():
        return
    # What is left beside a database that was moved away would be replayed into this one; Prefect's own start drops it.
    if any(Path(f"{path}{end}").exists() for end in ("", "-wal", "-journal")):
        return
    copy = Path(f"{path}.{os.getpid()}.new")
    with suppress(OSError):  # the disk may be full, the file system without links, another process faster
        try:
            shutil.copyfile(kept, copy)
            if has_tables(copy):
                os.link(copy, path)
        finally:
            copy.unlink(missing_ok=True)


def keep_tables() -> None:
    """Keep a database with Prefect's tables and nothing in them for all homes, see `of_installation`."""
    with whole(of_installation(_PACKAGE, _NAME)) as partial:
        made = partial.absolute().with_name("made.db")
        environment = {**os.environ, "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"{_SQLITE}{made}"}
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        with closing(sqlite3.connect(made)) as old, closing(sqlite3.connect(partial)) as new:
            old.backup(new)  # Prefect's has a second file beside it, with what came last
