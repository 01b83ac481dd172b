"""`python -m benchmarks.million_clients`: memory and time of rounds, and of preparing them, by number of clients."""

from __future__ import annotations

import argparse
import multiprocessing
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.memory import peak_rss_mb, rss_mb
from federated.config.run import RunConfig
from federated.examples.examples import Examples
from federated.foundation.randomness import Purpose, generator
from federated.user_code.source import allow, is_allowed

CLIENTS = (10_000, 100_000, 1_000_000)
EACH, WIDTH, COHORT = 10, 256, 100


def signal(size: int, width: int = WIDTH) -> Examples:
    """Examples that are made when they are looked at: each is a window of one long random signal of bytes.

    They overlap, so that `size` inputs of `width` numbers are `size + width` bytes of memory. The class of a window is
    whether a random filter answers to it more than to half of the others.
    """
    numbers = generator(0, Purpose.DATA)
    long = numbers.integers(256, size=size + width - 1, dtype=np.uint8)
    answers = np.convolve(long.astype(np.float32), numbers.standard_normal(width).astype(np.float32), "valid")
    return Examples(
        "signal",
        np.lib.stride_tricks.sliding_window_view(long, width, writeable=True),
        (answers > np.median(answers)).astype(np.int64),
        ("below", "above"),
        source="generated",
    )


def config_of(clients: int, rounds: int) -> RunConfig:
    """A hundred of so many clients a round, each with eight windows of the signal.

    The data set is code of the benchmarks' own, which is allowed here, as no study file states it.
    """
    if not is_allowed("benchmarks"):
        allow(["benchmarks"], Path())
    return RunConfig.model_validate(
        {
            "dataset": {"name": "benchmarks.million_clients:signal", "size": EACH * clients},
            "model": "logistic",
            "clients": clients,
            "cohort": {"size": COHORT},
            "local": {"epochs": 1, "batch_size": 5, "learning_rate": 0.1},
            "rounds": rounds,
        }
    )


class Measured(NamedTuple):
    """MB: of all inputs, if copied; of the process before it has data, once prepared, at most. CPU seconds."""

    inputs_mb: float
    started_mb: float
    prepared_mb: float
    peak_prepared_mb: float
    peak_rounds_mb: float
    prepare_seconds: float
    round_seconds: float
    evaluation_seconds: float


def measure(clients: int, rounds: int) -> Measured:
    """Rounds of a hundred clients among so many, and an evaluation, in a fresh process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(theirs, clients, rounds))
    process.start()
    theirs.close()
    try:
        found: Measured = ours.recv()
    finally:
        process.join()
    return found


def _measure(answer: Connection, clients: int, rounds: int) -> None:
    from federated.evaluation.evaluate import evaluate
    from federated.rounds import train_rounds
    from federated.run.setup import initial_state, prepare

    config = config_of(clients, rounds + 1)
    started, begun = rss_mb(), time.process_time()
    setup = prepare(config)
    prepared, peak, ready = rss_mb(), peak_rss_mb(), time.process_time()
    state = train_rounds(initial_state(setup), setup, 1)  # warms up
    warm = time.process_time()
    state = train_rounds(state, setup, rounds + 1)
    trained = time.process_time()
    evaluate(state, setup)
    seconds = (ready - begun, (trained - warm) / rounds, time.process_time() - trained)
    inputs = setup.inputs.numel() / 1e6
    answer.send(Measured(inputs, started, prepared, peak, peak_rss_mb(), *seconds))


def main() -> None:
    """Measure each number of clients and print them side by side."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million_clients", description=__doc__)
    parser.add_argument("--clients", type=int, nargs="*", default=CLIENTS)
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    table = Table("clients", *Measured._fields)
    for clients in asked.clients:
        found = measure(clients, asked.rounds)
        memory, seconds = found[:5], found[5:]
        table.add_row(
            f"{clients:,}", *(f"{value:,.0f}" for value in memory), *(f"{value:,.3f}" for value in seconds)
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
