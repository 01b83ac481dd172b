"""`python -m benchmarks.learning_rates STUDY.yaml`: look for the learning rate of every arm, as hard for each.

Every arm is trained with the same six local rates, with a seed that the study does not have and so with another
partition and another initial model, and judged by its accuracy on validation examples (`holdout.validation`), which
judge nothing else. The best of each arm is printed as the arms of the study file have it, and the accuracies of all.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.foundation.errors import Diverged
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare
from federated.study.study import Run, read_study

SEED = 1000
RATES = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
SCORE = "generalisation/validation_accuracy"


def score(config: RunConfig) -> float:
    """The accuracy of the last model on validation examples; below all where training diverged."""
    setup = prepare(config)
    try:
        state = train_rounds(initial_state(setup), setup, config.rounds)
    except Diverged:
        return -1.0
    return float(evaluate(state, setup)[SCORE])


def with_rate(config: RunConfig, rate: float) -> RunConfig:
    """The run of the search with this local rate."""
    local = config.local.model_copy(update={"learning_rate": rate})
    return config.model_copy(update={"local": local, "seed": SEED})


def best(config: RunConfig) -> tuple[float, list[float]]:
    """The rate with the highest score, the lowest of equals, and the scores of all."""
    scores = [score(with_rate(config, rate)) for rate in RATES]
    return RATES[scores.index(max(scores))], scores


def line(run: Run, rate: float, scores: Sequence[float]) -> str:
    """An arm of the study file, with its rate, and the scores as a comment."""
    fields = {**run.overrides, "local.learning_rate": f"{rate:g}"}
    stated = ", ".join(
        f'{path}: "{value}"' if "=" in value else f"{path}: {value}" for path, value in fields.items()
    )
    return f"  - {{{stated}}} # {' '.join(f'{each:.3f}' for each in scores)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Search, and print a line for each arm."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning_rates", description=__doc__)
    parser.add_argument("study", type=Path)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    screen = Console(soft_wrap=True, highlight=False, markup=False)
    for run in read_study(asked.study, ["orchestration.threads=1"], [0]).runs():
        screen.print(line(run, *best(run.config)))


if __name__ == "__main__":
    main()
