"""fedstudy itself: its own setup and rounds, without Prefect and MLflow."""

from __future__ import annotations

import time
from itertools import pairwise

import torch

from benchmarks.statistics import Timing
from federated.evaluation.evaluate import evaluate
from federated.rounds import train_rounds
from federated.run.setup import Setup, initial_state
from federated.run.state import RunState


def measure_fedstudy(setup: Setup) -> Timing:
    """Time each round; accuracy on the test set after the last."""
    state, seconds = train(setup)
    return Timing(seconds, accuracy=evaluate(state, setup)["generalisation/test_accuracy"])


def train(setup: Setup) -> tuple[RunState, list[float]]:
    """(the state after the last round, the seconds of each round), as a run of a study does it."""
    torch.set_num_threads(setup.config.orchestration.threads or 1)
    times = [time.perf_counter()]
    state = train_rounds(
        initial_state(setup),
        setup,
        setup.config.rounds,
        measured=lambda state, metrics: times.append(time.perf_counter()),
    )
    return state, [after - before for before, after in pairwise(times)]
