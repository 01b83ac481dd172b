"""HTTP requests and time that a study costs at a team's servers, beside the embedded store.

    python -m benchmarks.requests                      # a study of one run, twice: requests by kind
    python -m benchmarks.requests --study studies/quickstart.yaml --pairs 2    # embedded and servers in turn

Starts PostgreSQL, MLflow and Prefect on loopback (`benchmarks.team`) and counts what passes a relay before each of the
last two. The first study of a server makes experiment and registered model, so the second one counts.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.counted import Relay, relayed
from benchmarks.faults.fault import ROOT
from benchmarks.team import Team, team

ONE_RUN = """\
name: one_run
base: {dataset: digits, model: logistic, clients: 5, rounds: 30}
seeds: [0]
"""


class Cost(NamedTuple):
    """seconds: by the clock. processor: seconds of it, of the study's processes and not of servers that stay."""

    seconds: float
    processor: float


def main() -> None:
    """Print requests by kind, and what each study took."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--study", type=Path, help="a study file; one of a single run unless stated")
    arguments.add_argument("--pairs", type=int, default=0, help="embedded and servers in turn, so many times")
    stated = arguments.parse_args()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        study = stated.study or folder / "study.yaml"
        if stated.study is None:
            study.write_text(ONE_RUN, encoding="utf-8")
        with team(folder) as servers, _relays(servers) as (mlflow, prefect):
            if stated.pairs:
                _in_turn(servers, study, folder, stated.pairs)
                return
            for _ in range(2):
                for relay in (mlflow, prefect):
                    relay.asked.clear()
                _say("servers", _run(study, servers.environment))
            _print_requests({"MLflow": mlflow.asked, "Prefect": prefect.asked})


@contextmanager
def _relays(servers: Team) -> Iterator[tuple[Relay, Relay]]:
    """Relays before both servers, which the studies ask in their place."""
    with relayed(servers.ports["mlflow"]) as mlflow, relayed(servers.ports["prefect"]) as prefect:
        servers.environment["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{mlflow.port}"
        servers.environment["PREFECT_API_URL"] = f"http://127.0.0.1:{prefect.port}/api"
        yield mlflow, prefect


def _in_turn(servers: Team, study: Path, folder: Path, pairs: int) -> None:
    away = ("PREFECT_", "MLFLOW_")
    alone = {name: value for name, value in servers.environment.items() if not name.startswith(away)}
    alone |= {"FEDSTUDY_HOME": str(folder / "alone"), "PREFECT_HOME": str(folder / "prefect-alone")}
    for _ in range(pairs):
        _say("embedded", _run(study, alone))
        _say("servers", _run(study, servers.environment))


def _run(study: Path, environment: dict[str, str]) -> Cost:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "flows", "run", str(study)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(time.monotonic() - began, spent)


def _say(where: str, cost: Cost) -> None:
    load = os.getloadavg()[0]
    print(
        f"{where}: {cost.seconds:.1f} s by the clock, {cost.processor:.1f} s of processors, load {load:.1f}",
        flush=True,
    )


def _print_requests(asked: dict[str, Counter[str]]) -> None:
    for name, kinds in asked.items():
        print(f"\n{name}: {sum(kinds.values())} requests")
        for kind, number in kinds.most_common():
            print(f"{number:5d} {kind}")


if __name__ == "__main__":
    main()
