"""A Prefect that dies or is damaged while a study runs: the study's own, or a server elsewhere."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults.fault import Came, Fault, Place, wait_for
from benchmarks.faults.looking import ended, lost
from benchmarks.faults.processes import below, web_answers

_ROUNDS = 300
_EMBEDDED = "guarded_server.py"


def embedded_killed(place: Place) -> Came:
    """The embedded server, in the middle of the second run."""
    study = place.start("run", str(place.study(_ROUNDS)))
    place.wait_until_said(study, "done 1/4")
    os.kill(below(study.pid, _EMBEDDED)[0], signal.SIGKILL)
    code = study.wait()
    said = place.said(study)
    replaced = "another one took its place" if "Another one takes its place" in said else "no word"
    return Came(f"{ended(code, said)}, {replaced}", lost(place))


def server_gone(number: int, workers: int) -> Callable[[Place], Came]:
    """A signal to the server of PREFECT_API_URL, in the middle of the second run."""

    def inject(place: Place) -> Came:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [
            sys.executable,
            "-m",
            "prefect",
            "server",
            "start",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        own = {"PREFECT_HOME": str(place.folder / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        server = place.process(command, **own)
        wait_for(lambda: web_answers(f"http://127.0.0.1:{port}/api/health"))
        place.environment |= {
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_HOME": str(place.folder),
        }
        study = place.start("run", str(place.study(_ROUNDS)), "--workers", str(workers))
        place.wait_until_said(study, "done 1/4")
        os.killpg(server.pid, number)
        code = study.wait()
        return Came(_went_on(code, place.said(study)), lost(place))

    return inject


def table_damaged(place: Place) -> Came:
    """The pages of a table overwritten after a study; the schema and everything else stay as they are."""
    place.flows("run", str(place.study(5)))
    _damage_table(place.home / "prefect.db", "flow_run")
    code, said = place.flows("run", str(place.study(5)))
    return Came(_went_on(code, said), lost(place, runs=8, studies=2))


def _went_on(code: int, said: str) -> str:
    went_on = len(re.findall("the study goes on with a Prefect server of its own", said))
    lines = "one line" if went_on == 1 else f"{went_on} lines"
    traceback = ", a traceback" if "Traceback" in said else ""
    failed = len(re.findall(r"^failed ", said, re.MULTILINE))
    return f"exit code {code}, {failed} runs failed, {lines} that it goes on with another Prefect{traceback}"


def _damage_table(file: Path, table: str) -> None:
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = database.execute("PRAGMA page_size").fetchone()
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [table]).fetchone()
    database.close()
    with file.open("r+b") as opened:
        opened.seek((page - 1) * size)
        opened.write(b"\xff" * size)


_REMOTE = "`prefect server` of PREFECT_API_URL"
FAULTS = [
    Fault("Prefect's embedded server killed", "kill -9 after the first of four runs", embedded_killed),
    Fault(
        "Prefect's server elsewhere killed",
        f"{_REMOTE} after the first of four runs",
        server_gone(signal.SIGKILL, 1),
    ),
    Fault(
        "Prefect's server elsewhere killed, `--workers 2`",
        f"{_REMOTE} after the first of four runs",
        server_gone(signal.SIGKILL, 2),
    ),
    Fault("a table of prefect.db damaged", "its page overwritten; the schema stays sound", table_damaged),
]
