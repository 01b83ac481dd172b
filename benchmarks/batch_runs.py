"""`python -m benchmarks.batch_runs`: 20 runs of the quickstart's shape in one batch and one after another, CPU time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from benchmarks.on_device.given import Given
from benchmarks.on_device.small_runs import batch, one
from federated.machine.torch_threads import torch_threads

_MODELS = ("logistic", "mlp(hidden=[16])", "mlp(hidden=[64])")
_RUNS, _ROUNDS, _PASSES = 20, 10, 2


def main() -> None:
    """Print a line for each model: the least of two passes of each way, in turn."""
    given = Given("cpu", False, None, Path(), 600)
    with torch_threads(1):
        for model in _MODELS:
            one(given, _ROUNDS, 100, model)
            batch(given, 2, 3, model)
            seeds = range(_RUNS)
            apart, together = list[float](), list[float]()
            for _ in range(_PASSES):
                apart.append(_seconds(partial(_each, given, model, seeds)))
                together.append(_seconds(partial(batch, given, _ROUNDS, _RUNS, model)))
            ratio = min(apart) / min(together)
            print(
                f"{model}: one after another {min(apart):.2f} s, in one batch {min(together):.2f} s: {ratio:.1f} times"
            )


def _each(given: Given, model: str, seeds: Iterable[int]) -> None:
    for seed in seeds:
        one(given, _ROUNDS, seed, model)


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
