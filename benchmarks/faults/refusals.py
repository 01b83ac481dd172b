"""An MLflow that answers, but does not take what it is told, or whose answers are lost."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from benchmarks.faults.fault import Came, Fault, Place, wait_for
from benchmarks.faults.gateway import Asked, behind_gateway
from benchmarks.faults.looking import ended, last, lost, told_in_lines
from benchmarks.faults.servers import served

ROUNDS, MANY_ROUNDS = 100, 400


def record_at_fault(place: Place) -> Came:
    """The gateway takes no models; later it does."""
    with behind_gateway(place) as gateway:
        gateway.rule = lambda asked: 413 if asked.method == "PUT" and "/models/" in asked.path else None
        study = place.start("run", str(place.study(ROUNDS)))
        code = study.wait()
        said = place.said(study)
        before, _ = place.flows("sync")
        gateway.rule = lambda asked: None
        after, _ = place.flows("sync")
        aside = told_in_lines(said, "rejects")
        how = f"{ended(code, said)}, {aside} about what is set aside; sync: exit codes {before}, and {after} then"
        return Came(how, lost(place))


def answers_lost(place: Place) -> Came:
    """Of the requests that make runs, each of which is carried out."""
    with behind_gateway(place) as gateway:
        gateway.loses = lambda asked: asked.path.endswith("runs/create")
        study = place.start("run", str(place.study(ROUNDS)))
        code = study.wait()
        return Came(ended(code, place.said(study)), lost(place))


_DELETE = """
from tasks.tracking.server.store import connect
client = connect()
experiments = [one.experiment_id for one in client.search_experiments()]
for run in client.search_runs(experiments, "attributes.status = 'RUNNING'"):
    if "mlflow.parentRunId" in run.data.tags:
        client.delete_run(run.info.run_id)
        print(run.info.run_id)
"""
_RESTORE = """
import sys
from tasks.tracking.server.store import connect
for run in sys.argv[1:]:
    connect().restore_run(run)
"""


def run_deleted(place: Place) -> Came:
    """The run that trains; brought back from MLflow's bin after the study."""
    served(place)
    study = place.start("run", str(place.study(MANY_ROUNDS)))
    place.wait_until_said(study, "done 1/4")
    deleted: list[str] = []

    def deletes() -> bool:
        asked = place.process([sys.executable, "-c", _DELETE])
        asked.wait()
        deleted.extend(line for line in place.said(asked).split() if len(line) == 32)
        return bool(deleted) or study.poll() is not None

    wait_for(deletes)
    code = study.wait()
    said = place.said(study)
    place.process([sys.executable, "-c", _RESTORE, *deleted]).wait()
    place.flows("sync")
    how = f"{ended(code, said)}, {told_in_lines(said, 'was deleted from MLflow')} about the run"
    return Came(f"{how}; restored, then sync", lost(place))


def refused(status: int) -> Callable[[Place], Came]:
    """Everything, at the start of a study; and in the middle of another for half a minute."""

    def inject(place: Place) -> Came:
        with behind_gateway(place) as gateway:
            gateway.rule = lambda asked: status
            file = str(place.study(MANY_ROUNDS))
            before, words = place.flows("run", file)
            gateway.rule = lambda asked: None
            study = place.start("run", file)
            place.wait_until_said(study, "done 1/4")
            gateway.rule = lambda asked: status
            time.sleep(30)
            gateway.rule = lambda asked: None
            code = study.wait()
            said = place.said(study)
            aside = told_in_lines(words, "MLFLOW_TRACKING_TOKEN")
            late = told_in_lines(said, "training continues")
            how = f"exit code {code}, {late} about it"
            return Came(
                f"at the start: exit code {before}, {aside} that names the variables; later: {how}",
                lost(place),
            )

    return inject


def dies_while_compared(place: Place) -> Came:
    """The server, at the tenth request of `compare`."""
    with behind_gateway(place) as gateway:
        place.flows("run", str(place.study(ROUNDS)))
        asked: list[Asked] = []

        def rule(request: Asked) -> None:
            asked.append(request)
            if len(asked) == 10:
                gateway.server.stop()

        gateway.rule = rule
        started = time.monotonic()
        code, said = place.flows("compare", "faults")
        took = time.monotonic() - started
        gateway.rule = lambda request: None
        gateway.server.start()
        again, _ = place.flows("compare", "faults")
        how = f"exit code {code}, {told_in_lines(said, 'error:')}{', a traceback' if 'Traceback' in said else ''}"
        quickly = "within a minute" if took < 60 else f"after {took:.0f} s"
        return Came(f"{how} {quickly}; started again: exit code {again}", lost(place))


def ui_of_a_server(place: Place) -> Came:
    """It has a UI of its own."""
    server = served(place)
    code, said = place.flows("ui")
    named = "the address to open" if f"is the server {server.uri}" in said else last(said)
    return Came(f"exit code {code}, {told_in_lines(said, 'error:')} with {named}", "nothing")


def proxy_set(place: Place) -> Came:
    """One that does not answer: nothing of ours goes through it."""
    served(place)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        place.environment[name] = "http://127.0.0.1:9"
    study = place.start("run", str(place.study(ROUNDS)), "--workers", "2")
    code = study.wait()
    return Came(ended(code, place.said(study)), lost(place))


_GATEWAY = "a gateway before `mlflow server`"
FAULTS = [
    Fault(
        "MLflow does not take one kind of record",
        f"{_GATEWAY} answers 413 to models; `sync`; it takes them, `sync`",
        record_at_fault,
    ),
    Fault(
        "answers to the creation of runs are lost", f"{_GATEWAY} passes it on and answers 504", answers_lost
    ),
    Fault("a run is deleted in MLflow while it trains", "the second of four; restored later", run_deleted),
    Fault("MLflow answers 401", f"{_GATEWAY} at the start; then after the first run for 30 s", refused(401)),
    Fault("MLflow answers 403", "the same", refused(403)),
    Fault("MLflow dies within `compare`", "killed at its tenth request; started again", dies_while_compared),
    Fault("`ui` with a server in MLFLOW_TRACKING_URI", "`flows ui`", ui_of_a_server),
    Fault("a proxy is set that does not answer", "HTTP_PROXY and the like, `--workers 2`", proxy_set),
]
