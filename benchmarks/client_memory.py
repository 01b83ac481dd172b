"""`python -m benchmarks.client_memory`: peak memory of a run whose clients remember, with and without a bound."""

from __future__ import annotations

import argparse
import multiprocessing
import time
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.memory import peak_rss_mb

NUMBERS_A_UNIT = 3
BOUNDS = (None, 64)


class Remembered(NamedTuple):
    """MB: what clients remember in all, of it in memory and on disk; the process's peak before the first round, after
    the last and after a checkpoint. Seconds of a round and of the checkpoint."""

    all_mb: float
    in_memory_mb: float
    on_disk_mb: float
    peak_before_mb: float
    peak_after_mb: float
    peak_saved_mb: float
    round_seconds: float
    save_seconds: float


def measure(algorithm: str, clients: int, parameters: int, rounds: int, bound: int | None) -> Remembered:
    """Rounds in which every client takes one step and remembers what the algorithm asks, in a fresh process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(theirs, algorithm, clients, parameters, rounds, bound))
    process.start()
    theirs.close()
    try:
        found: Remembered = ours.recv()
    finally:
        process.join()
    return found


def _measure(
    answer: Connection, algorithm: str, clients: int, parameters: int, rounds: int, bound: int | None
) -> None:
    from federated.config.run import RunConfig
    from federated.rounds import train_rounds
    from federated.run.checkpoint import save
    from federated.run.course import Course
    from federated.run.setup import initial_state, prepare

    config = RunConfig.model_validate(
        {
            "dataset": {"name": "linear", "size": 4 * clients},
            "model": f"mlp([{parameters // NUMBERS_A_UNIT}])",
            "clients": clients,
            "algorithm": algorithm,
            "local": {"steps": 1, "learning_rate": 0.01, "batch_size": 2},
            "rounds": rounds,
            "engine": {"client_memory_mb": bound},
            "compression": {"quality": False},
            "evaluation": {"drift": False},
        }
    )
    setup = prepare(config)
    state, before, started = initial_state(setup), peak_rss_mb(), time.perf_counter()
    state = train_rounds(state, setup, rounds)
    trained, after = time.perf_counter(), peak_rss_mb()
    with TemporaryDirectory() as folder:
        save(Course(state), Path(folder) / "x.safetensors", {})
    saved, store = time.perf_counter(), setup.store
    inside, on_disk = store.memory_bytes / 1e6, store.file_bytes / 1e6
    seconds = (trained - started) / rounds, saved - trained
    answer.send(Remembered(inside + on_disk, inside, on_disk, before, after, peak_rss_mb(), *seconds))


def main() -> None:
    """Measure both and print them side by side."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client_memory", description=__doc__)
    parser.add_argument("--algorithm", default="scaffold")
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--parameters", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--bounds", type=int, nargs="*", help="in MB; default: none, and 64")
    asked = parser.parse_args()
    table = Table("client_memory_mb", *Remembered._fields)
    for bound in BOUNDS if asked.bounds is None else asked.bounds:
        found = measure(asked.algorithm, asked.clients, asked.parameters, asked.rounds, bound)
        table.add_row("none" if bound is None else str(bound), *(f"{value:,.1f}" for value in found))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
