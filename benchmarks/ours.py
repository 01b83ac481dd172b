"""fedstudy itself: its own setup and rounds, without Prefect and MLflow."""

from __future__ import annotations

import time
from itertools import pairwise

import torch

from benchmarks.machine import wait_for
from benchmarks.statistics import Timing
from federated.evaluation.evaluate import evaluate
from federated.metrics import Metrics
from federated.rounds import train_rounds
from federated.run.setup import Setup, initial_state
from federated.run.state import RunState


def measure_fedstudy(setup: Setup) -> Timing:
    """Time each round; accuracy on the test set after the last."""
    state, seconds = train(setup)
    return Timing(seconds, accuracy=evaluate(state, setup)["generalisation/test_accuracy"])


def train(setup: Setup, stages: list[dict[str, float]] | None = None) -> tuple[RunState, list[float]]:
    """(the state after the last round, the seconds of each round), as a run of a study does it.

    stages: to be filled with the seconds of each round's stages.
    """
    torch.set_num_threads(setup.config.orchestration.threads or 1)
    state, device = initial_state(setup), setup.inputs.device.type
    wait_for(device)
    times = [time.perf_counter()]

    def measured(state: RunState, metrics: Metrics) -> None:
        wait_for(device)
        times.append(time.perf_counter())
        if stages is not None:
            stages.append({name: float(metrics[name]) for name in metrics if name.endswith("_seconds")})

    state = train_rounds(state, setup, setup.config.rounds, measured=measured)
    return state, [after - before for before, after in pairwise(times)]
