"""`python -m benchmarks.scale_out`: rounds by workers of Ray against the same rounds by one process.

W2 (LeNet on Fashion-MNIST) and a logistic regression whose rounds take next to nothing, once with a shard for each
worker and once for each of its twenty clients, from which follows what a shard costs. One thread for each worker, and
as many for the one process; rounds take turns. Seconds by the clock are minima, as anything else may run beside;
processor seconds are of all processes, Ray's own included. Needs the extra `make ray`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.machine import description
from benchmarks.workloads import WORKLOADS, Workload
from federated.machine.torch_threads import torch_threads
from federated.rounds import STAGES, Stages, run_round
from federated.run.setup import initial_state, prepare
from tasks.scale_out.stages import scaled_out

SMALL = Workload(
    "20 clients of 10, logistic regression, all a round, one step",
    20,
    200,
    {
        "clients": 20,
        "model": "logistic",
        "local": {"steps": 1, "epochs": None, "batch_size": 10, "learning_rate": 0.05},
    },
)


SMALL_SHARDS = replace(SMALL, title=f"{SMALL.title}, a shard each")
MEASURED = {"W2": WORKLOADS["W2"], "small": SMALL, "shards": SMALL_SHARDS}


class Taken(NamedTuple):
    """Of some rounds: the shortest and the median by the clock, and processor seconds of a round, all processes."""

    seconds: float
    usual: float
    processor: float


def measured(workload: Workload, folder: Path, workers: int, rounds: int) -> dict[str, Taken]:
    """Rounds of one process and of workers in turn, after one of each that warms up."""
    alone = prepare(workload.config(folder, orchestration={"threads": workers}))
    engine = {"scale_out": "ray", "workers": workers}
    scaled = prepare(workload.config(folder, engine=engine, orchestration={"threads": 1}))
    if workload is SMALL_SHARDS:
        alone, scaled = replace(alone, shard_size=1), replace(scaled, shard_size=1)
    times: dict[str, list[tuple[float, float]]] = {"one process": [], f"{workers} workers": []}
    with scaled_out(scaled, print) as stages, torch_threads(1):
        assert stages is not None
        of_each: list[tuple[Any, Stages]] = [(alone, STAGES), (scaled, stages)]
        states = [initial_state(setup) for setup, _ in of_each]
        for _ in range(rounds + 1):
            for at, (setup, each) in enumerate(of_each):
                started, used = time.perf_counter(), _processor_seconds()
                states[at], _ = run_round(states[at], setup, each)
                taken = time.perf_counter() - started, _processor_seconds() - used
                list(times.values())[at].append(taken)
    return {name: _taken(each[1:]) for name, each in times.items()}


def _taken(times: Sequence[tuple[float, float]]) -> Taken:
    clock, processor = zip(*times, strict=True)
    return Taken(min(clock), median(clock), median(processor))


def _processor_seconds() -> float:
    """Of this process and all below it, those of Ray included; user and system."""
    parents, used = dict[int, int](), dict[int, float]()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            parents[int(entry.name)] = int(fields[1])
            used[int(entry.name)] = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    return sum(seconds for process, seconds in used.items() if _is_ours(process, parents))


def _is_ours(process: int, parents: dict[int, int]) -> bool:
    while process not in (0, os.getpid()):
        process = parents.get(process, 0)
    return process == os.getpid()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_out", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FEDSTUDY_TEST_DATA", "."), "fashion-mnist")
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, nargs=2, default=[5, 100], help="of W2 and of the small model")
    parser.add_argument("--workload", nargs="+", choices=[*MEASURED], default=[*MEASURED])
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    asked = parser.parse_args(arguments)
    table = Table("workload", "", "s a round, least", "median", "processor s")
    found: dict[str, Any] = {"machine": description(asked.workers)}
    for name in asked.workload:
        found[name], rounds = {}, asked.rounds[name != "W2"]
        for way, taken in measured(MEASURED[name], asked.data, asked.workers, rounds).items():
            found[name][way] = taken._asdict()
            table.add_row(name, way, *(f"{each:.4f}" for each in taken))
    Console().print(table)
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
