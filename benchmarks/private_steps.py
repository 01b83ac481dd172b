"""`python -m benchmarks.private_steps`: what differentially private steps take of a round, as a ratio to plain ones.

As `benchmarks.algorithms` measures: a round of each in turn, CPU time, one thread, the median over the pairs. The
batches of the one are of 32 examples and those of the other of 32 in the mean, ten steps a client and round, by the
engine that `auto` takes for each.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.algorithms import Pairs, rounds_of
from benchmarks.data import default_folder, is_real
from benchmarks.machine import description
from benchmarks.workloads import WORKLOADS
from federated.run.setup import prepare

PLAIN, PRIVATE = "none", "dp_sgd(norm=1, noise_multiplier=1)"
PAIRS = {"W1": 5, "W2": 2, "W3": 5}
_STEPS = {"epochs": None, "steps": 10, "batch_size": 32}


def measure(workload: str, data: Path, pairs: int) -> Pairs:
    """The rounds of both, after one of each that warms up."""
    local = {**WORKLOADS[workload].settings["local"], **_STEPS}
    configs = (
        WORKLOADS[workload].config(
            data, pairs + 1, privacy=privacy, local=local, orchestration={"threads": 1}
        )
        for privacy in (PLAIN, PRIVATE)
    )
    _, *timed = zip(*(rounds_of(prepare(config)) for config in configs), strict=True)
    plain, private = zip(*timed, strict=True)
    return Pairs(workload, PRIVATE, plain, private)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.private_steps", description=__doc__)
    parser.add_argument("--workload", nargs="+", choices=list(PAIRS), default=list(PAIRS))
    parser.add_argument("--pairs", type=int, help="rounds of each after warm-up; default: the workload's own")
    parser.add_argument("--data", type=Path, default=default_folder(), help="folder with Fashion-MNIST")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    screen = Console()
    table = Table("workload", "plain, CPU s a round", "private, CPU s a round", "ratio")
    for workload in asked.workload:
        found = measure(workload, asked.data, asked.pairs or PAIRS[workload])
        seconds = [f"{sum(each) / len(each):.3g}" for each in (found.fedavg, found.seconds)]
        settings = WORKLOADS[workload].settings
        model = f"{settings['model']}, {settings['clients']:,} clients"
        table.add_row(model, *seconds, f"{found.ratio:.2f}")
    screen.print({**description(threads=1), "real_data": is_real(asked.data)}, table)


if __name__ == "__main__":
    main()
