"""A study of small runs: in one batch, and one after another."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from statistics import median
from threading import Thread
from typing import Any

from benchmarks.machine import wait_for
from benchmarks.on_device.given import Answer, Given
from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare
from federated.run.state import RunState
from federated.segments.gathering import Gathering, with_others

_RUNS = 20

SMALL: Mapping[str, Any] = {
    "dataset": "digits",
    "model": "mlp(hidden=[64])",
    "clients": 20,
    "cohort": {"size": 10},
    "partitioner": "dirichlet(alpha=0.1)",
    "local": {"epochs": 2, "batch_size": 16, "learning_rate": 0.1},
    "rounds": 20,
}
"""A run of the quickstart study."""


def study(given: Given) -> Iterator[Answer]:
    """20 runs of the quickstart, in one batch and seed by seed, against one of them; without Prefect and MLflow."""
    rounds = 2 if given.quick else 20
    runs = 4 if given.quick else _RUNS
    answer: Answer = {
        "title": f"{runs} runs of the quickstart (2NN of 64 on digits, {rounds} rounds, evaluated once)",
        "way": "one after another in one process",
        "run_seconds": [],
        "warm_up_seconds": one(given, rounds, seed=100),
    }
    yield answer
    for _ in range(2):  # the first warms up
        answer |= batch(given, rounds, runs)
        yield answer
    for seed in range(runs):
        answer["run_seconds"].append(one(given, rounds, seed=seed))
        seconds = answer["run_seconds"]
        answer |= {"seconds": sum(seconds), "one_run_seconds": median(seconds)}
        answer["times_one_run"] = sum(seconds) / median(seconds)
        answer["batch_times_one_run"] = answer["batch_seconds"] / median(seconds)
        yield answer


def one(given: Given, rounds: int, seed: int, model: str | None = None) -> float:
    """Seconds from the config to the metrics of the last round."""
    started = time.perf_counter()
    _whole(given, rounds, seed, model)
    return time.perf_counter() - started


def _whole(given: Given, rounds: int, seed: int, model: str | None) -> None:
    stated = {
        **SMALL,
        "rounds": rounds,
        "seed": seed,
        "device": given.device,
        "model": model or SMALL["model"],
    }
    setup = with_others(prepare(RunConfig.model_validate(stated)))
    state: RunState = train_rounds(initial_state(setup), setup, rounds)
    evaluate(state, setup)
    wait_for(given.device)


def batch(given: Given, rounds: int, runs: int, model: str | None = None) -> Answer:
    """The same for so many runs whose clients share a stack: seconds by the clock and of the processor."""
    started, cpu, gathering = time.perf_counter(), time.process_time(), Gathering()

    def member(number: int) -> None:
        with gathering.taking_part(number):
            _whole(given, rounds, number, model)

    threads = [Thread(target=member, args=(number,), daemon=True) for number in range(runs)]
    for number, thread in enumerate(threads):
        gathering.expect(number)
        thread.start()
        gathering.wait_for(number)
    gathering.close()
    for thread in threads:
        thread.join()
    return {
        "batch_seconds": time.perf_counter() - started,
        "batch_processor_seconds": time.process_time() - cpu,
    }
