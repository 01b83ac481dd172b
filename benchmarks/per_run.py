"""What a run of a small model costs beside training: `python -m benchmarks.per_run [--runs 24] [--set PATH=VALUE]`.

Two studies run from the shell, each in a new home, that differ in their number of seeds alone. What all have to do
once (imports, checks, databases, report) is in both, so the difference is that of the runs: wall seconds, and CPU
seconds of the command with its Prefect server. What the stages of rounds and evaluations took, as the runs say, is
training; all else is beside it.
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).parent.parent
_SETTINGS = ("rounds=5",)
_FEW = 4
_STUDY = """
name: per-run
base: {dataset: digits, model: logistic, clients: 20, cohort: {size: 10}}
seeds: [0]
"""


class Spent(NamedTuple):
    """Seconds of a study: wall, CPU, and those of the stages of its rounds, by the runs' own clocks."""

    wall: float
    cpu: float
    stages: float


def a_study(runs: int, settings: Sequence[str]) -> Spent:
    """Run a study of so many seeds in a new home."""
    with tempfile.TemporaryDirectory() as home:
        study = Path(home, "per-run.yaml")
        study.write_text(_STUDY, encoding="utf-8")
        command = [sys.executable, "-P", "-m", "flows", "run", str(study), "--seeds", f"0-{runs - 1}"]
        for setting in settings:
            command += ["--set", setting]
        environment = {**os.environ, "FEDSTUDY_HOME": home, "PYTHONPATH": str(_ROOT)}
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, cwd=_ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Spent(wall, cpu, _total(home, "system/run_seconds") - _total(home, "system/overhead_seconds"))


def _total(home: str, metric: str) -> float:
    with closing(sqlite3.connect(Path(home, "mlflow.db"))) as database:
        found = database.execute("SELECT sum(value) FROM latest_metrics WHERE key = ?", [metric])
        return float(found.fetchone()[0])


def main() -> None:
    """Measure and print a line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.per_run", description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=24, help=f"runs of the long study; the short one has {_FEW}"
    )
    parser.add_argument("--set", nargs="*", default=_SETTINGS, metavar="PATH=VALUE", help="of the base run")
    asked = parser.parse_args()
    if asked.runs <= _FEW:
        parser.error(f"--runs must be more than {_FEW}, but is {asked.runs}")
    load = os.getloadavg()[0]
    short, long = a_study(_FEW, asked.set), a_study(asked.runs, asked.set)
    more = asked.runs - _FEW
    wall, cpu, stages = ((later - earlier) / more for earlier, later in zip(short, long, strict=True))
    print(
        f"{asked.runs} runs in {long.wall:.1f} s ({long.cpu:.1f} s of CPU), {_FEW} in {short.wall:.1f} s "
        f"({short.cpu:.1f} s of CPU): a run more takes {wall:.2f} s, {wall - stages:.2f} s of them beside training, "
        f"and {cpu:.2f} s of CPU in all; load before {load:.1f}"
    )


if __name__ == "__main__":
    main()
