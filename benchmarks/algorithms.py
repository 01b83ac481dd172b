"""`python -m benchmarks.algorithms`: what each algorithm takes of a round, as a ratio to FedAvg in the same run.

One thread, one process. A round of FedAvg and one of the algorithm in turn, from states of the same round and so with
the same cohort, examples and order; a ratio is the median over these pairs. CPU time of the process and not wall
time, so that other programs on the machine matter little. What is no round is left out: setting up, evaluation.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.data import default_folder, is_real
from benchmarks.machine import description
from benchmarks.peer import folder
from benchmarks.workloads import WORKLOADS
from federated.algorithms import ALGORITHMS
from federated.foundation.errors import BadInput
from federated.rounds import STAGES, run_round
from federated.run.setup import Setup, initial_state, prepare

FEDAVG = "fedavg"
PAIRS = {"W1": 15, "W2": 5}
ARGUMENTS = {"sign_majority": "sign_majority(server_learning_rate=0.01)"}
"""Algorithms that have no default arguments, with some."""
MORE = ("fedprox(adaptive=true)", "scaffold(option=1)")
"""Measured beside every registered algorithm."""
BOTH: dict[str, dict[str, Any]] = {"mime_lite": {"local": {"momentum": 0.0}}, "cfl": {"cohort": {}}}
"""Algorithm -> fields that it cannot do without, which FedAvg is measured with too."""
ALONE: dict[str, dict[str, Any]] = {"sign_majority": {"compression": {"uplink": "sign(scale=one)"}}}
"""Algorithm -> fields that it cannot do without, and that FedAvg is not for."""


@dataclass(frozen=True)
class Pairs:
    """CPU seconds of rounds of FedAvg and of the algorithm, in turn; none where it was refused, with the reason."""

    workload: str
    algorithm: str
    fedavg: Sequence[float] = ()
    seconds: Sequence[float] = ()
    refused: str = ""

    @property
    def ratio(self) -> float:
        """The median of the ratios of the pairs."""
        return median(mine / theirs for mine, theirs in zip(self.seconds, self.fedavg, strict=True))


def everything() -> list[str]:
    """Every registered algorithm but FedAvg, and what is measured besides."""
    named = {ARGUMENTS.get(name, name) for name in ALGORITHMS}
    return sorted({*named, *MORE} - {FEDAVG})


def measure(workload: str, algorithm: str, data: Path, pairs: int) -> Pairs:
    """The rounds of both, after one of each that warms up."""
    try:
        setups = [_setup(workload, each, algorithm, data, pairs) for each in (FEDAVG, algorithm)]
    except (BadInput, ValueError) as error:
        return Pairs(workload, algorithm, refused=" ".join(str(error).split()))
    _, *timed = zip(*map(rounds_of, setups), strict=True)
    fedavg, seconds = zip(*timed, strict=True)
    return Pairs(workload, algorithm, fedavg, seconds)


def _setup(workload: str, algorithm: str, changed_for: str, data: Path, pairs: int) -> Setup:
    name, local = changed_for.partition("(")[0], WORKLOADS[workload].settings["local"]
    both = BOTH.get(name, {})
    changes = {**both, "local": {**local, **both.get("local", {})}}
    if algorithm != FEDAVG:
        changes |= ALONE.get(name, {})
    config = WORKLOADS[workload].config(
        data, pairs + 1, algorithm=algorithm, orchestration={"threads": 1}, **changes
    )
    return prepare(config)


def rounds_of(setup: Setup) -> Iterator[float]:
    """Train, yielding the CPU seconds of each round."""
    state = initial_state(setup)
    for _ in range(setup.config.rounds):
        started = time.process_time()
        state, _ = run_round(state, setup, STAGES)
        yield time.process_time() - started


def table(measured: Sequence[Pairs]) -> Table:
    """A row for each algorithm, a column for each workload."""
    workloads = list(dict.fromkeys(each.workload for each in measured))
    found: Mapping[tuple[str, str], Pairs] = {(each.algorithm, each.workload): each for each in measured}
    made = Table("CPU time of a round against FedAvg", *workloads)
    for algorithm in dict.fromkeys(each.algorithm for each in measured):
        cells = [found[algorithm, workload] for workload in workloads]
        made.add_row(algorithm, *[each.refused or f"{each.ratio:.2f}" for each in cells])
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.algorithms", description=__doc__)
    parser.add_argument("algorithm", nargs="*", default=everything(), help="default: every one")
    parser.add_argument("--workload", nargs="+", choices=list(PAIRS), default=list(PAIRS))
    parser.add_argument(
        "--pairs", type=int, help="rounds of each after warm-up; default: the workload's own number"
    )
    parser.add_argument("--data", type=Path, default=default_folder(), help="folder with Fashion-MNIST")
    parser.add_argument(
        "--json", type=Path, default=folder() / "algorithms.json", help="for all measurements"
    )
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    screen, progress = Console(), Console(stderr=True, style="dim", markup=False)
    measured = []
    for workload in asked.workload:
        for algorithm in asked.algorithm:
            measured.append(measure(workload, algorithm, asked.data, asked.pairs or PAIRS[workload]))
            progress.print(f"{workload} {algorithm}: {measured[-1].refused or round(measured[-1].ratio, 3)}")
    machine = {**description(threads=1), "real_data": is_real(asked.data)}
    screen.print(machine, table(measured))
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    written = {"machine": machine, "measured": [asdict(each) for each in measured]}
    asked.json.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
