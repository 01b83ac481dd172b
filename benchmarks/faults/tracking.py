"""Faults of MLflow's store, of first use, and of whatever ends a study's process."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable

from benchmarks.faults.fault import Came, Fault, Place, wait_for
from benchmarks.faults.looking import ended, last, lost
from benchmarks.faults.servers import Server, fill, postgres, served, small_disk

ROUNDS, MANY_ROUNDS = 100, 400


def three_at_once(place: Place) -> Came:
    """The first studies of a home."""
    study = str(place.study(rounds=5))
    started = [place.start("run", study, "--workers", "2") for _ in range(3)]
    if failed := [place.said(process) for process in started if process.wait()]:
        return Came(f"{len(failed)} of 3 failed: {last(failed[0])}", "a study")
    return Came("all three ran to their ends and wrote their reports", lost(place, runs=12, studies=3))


def server_away_in_the_middle(place: Place) -> Came:
    """Away for half a minute, back before the end."""
    server = served(place)
    study = place.start("run", str(place.study(MANY_ROUNDS)))
    place.wait_until_said(study, "done 1/4")
    server.stop()
    time.sleep(30)
    server.start()
    code = study.wait()
    return Came(ended(code, place.said(study)), lost(place))


def server_away_until_after_the_end(place: Place) -> Came:
    """Away before the second run begins; sync afterwards, twice."""
    server = served(place)
    study = place.start("run", str(place.study(ROUNDS)))
    place.wait_until_said(study, "done 1/4")
    server.stop()
    code = study.wait()
    said = place.said(study)
    away, _ = place.flows("sync")
    server.start()
    synced, _ = place.flows("sync")
    again, final = place.flows("sync")
    how = f"{ended(code, said)}; sync: exit codes {away} while it is away, {synced} and {again} then"
    return Came(f"{how} ({last(final)})", lost(place))


def server_hangs(place: Place) -> Came:
    """It takes connections and answers nothing."""
    place.environment["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "5"
    server = served(place)
    study = place.start("run", str(place.study(MANY_ROUNDS)))
    place.wait_until_said(study, "done 1/4")
    assert server.process is not None
    os.killpg(server.process.pid, signal.SIGSTOP)
    time.sleep(30)
    os.killpg(server.process.pid, signal.SIGCONT)
    code = study.wait()
    return Came(ended(code, place.said(study)), lost(place))


def killed(moment: str, file: str = "") -> Callable[[Place], Came]:
    """kill -9 at a moment, then --resume. moment: what was said last; file: a pattern of what is in the home then."""

    def inject(place: Place) -> Came:
        asked = str(place.study(ROUNDS))
        study = place.start("run", asked)
        wait_for(lambda: moment in place.said(study) and (not file or any(place.home.glob(file))))
        os.kill(study.pid, signal.SIGKILL)
        study.wait()
        code, said = place.flows("run", asked, "--resume")
        before = said.count("finished before")
        return Came(f"--resume: exit code {code}, {before} runs not run again", lost(place))

    return inject


def interrupted(number: int, times: int, whole_group: bool = False) -> Callable[[Place], Came]:
    """A signal, perhaps twice, with the server away; then --resume once it is back.

    whole_group: to all processes of the study, as a terminal sends it.
    """

    def inject(place: Place) -> Came:
        server = served(place)
        file = str(place.study(ROUNDS))
        study = place.start("run", file)
        place.wait_until_said(study, "done 1/4")
        server.stop()
        time.sleep(3)
        for _ in range(times):
            (os.killpg if whole_group else os.kill)(study.pid, number)
            time.sleep(0.5)
        code = study.wait()
        said = place.said(study)
        server.start()
        resumed, _ = place.flows("run", file, "--resume")
        return Came(f"{ended(code, said)}; --resume: exit code {resumed}", lost(place))

    return inject


def locked(place: Place) -> Came:
    """Another program holds the embedded database for longer than SQLite waits."""
    study = place.start("run", str(place.study(MANY_ROUNDS)))
    place.wait_until_said(study, "done 1/4")
    database = sqlite3.connect(place.home / "mlflow.db", timeout=60, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    time.sleep(70)
    database.execute("ROLLBACK")
    database.close()
    code = study.wait()
    return Came(ended(code, place.said(study)), lost(place))


def disk_full(place: Place) -> Came:
    """The disk of the server's database and artifacts fills up, and is given space again."""
    with small_disk(place.folder / "disk", "200m") as disk:
        server = Server(place, f"sqlite:///{disk / 'mlflow.db'}")
        place.environment["MLFLOW_TRACKING_URI"] = server.uri
        server.start()
        study = place.start("run", str(place.study(MANY_ROUNDS)))
        place.wait_until_said(study, "done 1/4")
        with (disk / "filler").open("wb") as filler:
            fill(filler.fileno())
        wait_for(lambda: "done 3/4" in place.said(study) or study.poll() is not None)
        (disk / "filler").unlink()
        code = study.wait()
        if code or "waits for MLflow" in place.said(study):
            place.flows("sync")
        came = Came(ended(code, place.said(study)), lost(place))
        server.stop()
        return came


def home_full(place: Place) -> Came:
    """The disk of the home itself fills up; then space is made, and --resume."""
    with small_disk(place.home, "80m") as disk:
        file = str(place.study(ROUNDS))
        study = place.start("run", file)
        place.wait_until_said(study, "done 1/4")
        with (disk / "filler").open("wb") as filler:
            fill(filler.fileno())
        code = study.wait()
        said = place.said(study)
        (disk / "filler").unlink()
        resumed, _ = place.flows("run", file, "--resume")
        return Came(f"{ended(code, said)}; space made, --resume: exit code {resumed}", lost(place))


def postgres_restarts(place: Place) -> Came:
    """The database behind the server goes down for ten seconds."""
    with postgres(place) as (uri, stop, start):
        server = Server(place, uri)
        place.environment["MLFLOW_TRACKING_URI"] = server.uri
        server.start()
        study = place.start("run", str(place.study(MANY_ROUNDS)))
        place.wait_until_said(study, "done 1/4")
        stop()
        time.sleep(10)
        start()
        code = study.wait()
        came = Came(ended(code, place.said(study)), lost(place))
        server.stop()
        return came


_SERVER = "`mlflow server` on SQLite"
FAULTS = [
    Fault(
        "three first studies at once",
        "three `run --workers 2` of one study on a fresh home, started together",
        three_at_once,
    ),
    Fault(
        "MLflow away for 30 s",
        f"{_SERVER} killed after the first of four runs, started again",
        server_away_in_the_middle,
    ),
    Fault(
        "MLflow away to the end",
        f"{_SERVER} killed after the first of four runs; started again after the study, then `sync` twice",
        server_away_until_after_the_end,
    ),
    Fault("MLflow hangs for 30 s", f"SIGSTOP to {_SERVER}, request time-out 5 s", server_hangs),
    Fault(
        "study killed at its start",
        "kill -9 once the runs were checked, then `--resume`",
        killed("checking 4 runs"),
    ),
    Fault(
        "study killed in its first run",
        "kill -9 once that has a checkpoint, then `--resume`",
        killed("forecast", "checkpoints/*.safetensors"),
    ),
    Fault(
        "study killed between runs",
        "kill -9 after the second of four runs, then `--resume`",
        killed("done 2/4"),
    ),
    Fault(
        "study killed at its end",
        "kill -9 once the report is begun, then `--resume`",
        killed("done 4/4", "reports/*"),
    ),
    Fault(
        "Ctrl-C while MLflow is away",
        f"{_SERVER} killed, SIGINT; started again, `--resume`",
        interrupted(signal.SIGINT, 1),
    ),
    Fault("Ctrl-C twice while MLflow is away", "the same with two SIGINT", interrupted(signal.SIGINT, 2)),
    Fault("SIGTERM while MLflow is away", "the same with SIGTERM", interrupted(signal.SIGTERM, 1)),
    Fault(
        "terminal closed while MLflow is away",
        "the same with SIGHUP to all of its processes",
        interrupted(signal.SIGHUP, 1, whole_group=True),
    ),
    Fault("embedded database locked for 70 s", "`BEGIN EXCLUSIVE` by another program", locked),
    Fault(
        "disk of the MLflow server full",
        "its database and artifacts on a tmpfs that is filled, later emptied",
        disk_full,
    ),
    Fault("disk of the home full", "the home on a tmpfs that is filled; emptied, then `--resume`", home_full),
    Fault("PostgreSQL down for 10 s", "`pg_ctl -m immediate stop` behind `mlflow server`", postgres_restarts),
]
