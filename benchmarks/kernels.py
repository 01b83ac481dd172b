"""`python -m benchmarks.kernels`: what each hand-written kernel earns, in CPU time of training and evaluation.

One thread, one process, the ways in turn, the least of some passes. CPU time and not wall time, so that other programs
on the machine matter little. A kernel that earns little on the machine at hand is a reason to delete it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.machine import description
from federated.algorithms.local_terms import NO_TERMS
from federated.config.local import LocalTraining
from federated.evaluation.fast_forward import fast_forward
from federated.local_training.engine import ENGINES
from federated.local_training.steps.work import LocalWork
from federated.losses import usual_loss
from federated.metrics.tasks import CLASSIFICATION
from federated.models.cnn import cnn
from federated.models.flat_model import FlatModel

CLIENTS, BATCHES, CLASSES = 8, 4, 10


class Case(NamedTuple):
    """A model, and the shape of one of its examples."""

    module: Callable[[], nn.Module]
    shape: tuple[int, ...]


def _wide(channels: int, width: int) -> nn.Module:
    """Two padded 3x3 convolutions with pooling, then a dense layer, on images of 32x32 pixels."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * width * 64, CLASSES),
    )


def _normalised() -> nn.Module:
    """A LeNet with batch normalisation, which the hand-written convolutions do not take."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, CLASSES),
    )


CASES = {
    "LeNet, 28x28x1": Case(lambda: cnn()((1, 28, 28), CLASSES), (1, 28, 28)),
    "LeNet, 32x32x3": Case(lambda: cnn()((3, 32, 32), CLASSES), (3, 32, 32)),
    "LeNet with batch norm, 28x28x1": Case(_normalised, (1, 28, 28)),
    "conv 8-16, 32x32x3": Case(lambda: _wide(3, 8), (3, 32, 32)),
    "conv 32-64, 32x32x3": Case(lambda: _wide(3, 32), (3, 32, 32)),
    "2NN 200-200, 784": Case(
        lambda: nn.Sequential(
            nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, CLASSES)
        ),
        (784,),
    ),
    "logistic, 784": Case(lambda: nn.Sequential(nn.Linear(784, CLASSES)), (784,)),
    "layer norm and GELU, 32": Case(
        lambda: nn.Sequential(nn.Linear(32, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, CLASSES)), (32,)
    ),
}


def work_of(case: Case, batch: int) -> LocalWork:
    """Random examples of some clients, and one epoch of each on them."""
    examples = BATCHES * batch
    torch.manual_seed(0)
    numbers = np.random.default_rng(0)
    inputs = numbers.normal(size=(CLIENTS * examples, *case.shape)).astype(np.float32)
    targets = torch.from_numpy(numbers.integers(CLASSES, size=len(inputs)))
    clients = list(np.arange(len(inputs)).reshape(CLIENTS, examples))
    local = LocalTraining(batch_size=batch, learning_rate=0.01)
    model = FlatModel(case.module())
    return LocalWork(
        model, usual_loss(CLASSIFICATION), torch.from_numpy(inputs), targets, clients, local, 1, 0
    )


def training(case: Case, batch: int) -> dict[str, Callable[[], object]]:
    """Every engine that takes this model, each as a function that trains a round."""
    found: dict[str, Callable[[], object]] = {}
    for name, engine in ENGINES.items():
        work = work_of(case, batch)
        received, cohort = work.model.vector.clone(), list(range(CLIENTS))
        try:
            trainer = engine(work, 1)
        except ValueError:  # it does not take this model
            continue
        found[name] = partial(trainer, received, cohort, 0, NO_TERMS)
    return found


def evaluation(case: Case, batch: int) -> dict[str, Callable[[], object]]:
    """The module, and its rewritten forward pass, each as a function that evaluates it on all examples."""
    work = work_of(case, batch)
    module = work.model.module.eval()
    forward = fast_forward(module)
    return {
        "module": lambda: module(work.inputs),
        **({} if forward is module else {"fast": lambda: forward(work.inputs)}),
    }


def measure(ways: Mapping[str, Callable[[], object]], passes: int) -> dict[str, float]:
    """CPU seconds of each, the least of the passes after one that warms up."""
    least = dict.fromkeys(ways, float("inf"))
    for at in range(passes + 1):
        for name, way in ways.items():
            started = time.process_time()
            way()
            if at:
                least[name] = min(least[name], time.process_time() - started)
    return least


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print, a row a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passes", type=int, default=15)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--case", choices=list(CASES), nargs="*", default=list(CASES))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    console = Console(width=120)
    console.print(
        f"{description(threads=1)}\n{CLIENTS} clients x {BATCHES} batches of {options.batch}; times faster:"
    )
    engines = [name for name in ENGINES if name != "loop"]
    faster = [f"{name}, times faster" for name in engines]
    table = Table("model", "training: loop, ms", *faster, "evaluation: module, ms", "fast, times faster")
    for name in options.case:
        trained = measure(training(CASES[name], options.batch), options.passes)
        with torch.inference_mode():
            evaluated = measure(evaluation(CASES[name], options.batch), options.passes)
        table.add_row(name, *_row("loop", trained, engines), *_row("module", evaluated, ["fast"]))
    console.print(table)


def _row(slow: str, taken: Mapping[str, float], others: Sequence[str]) -> list[str]:
    ratios = [f"{taken[slow] / taken[name]:.2f}" if name in taken else "-" for name in others]
    return [f"{1e3 * taken[slow]:.1f}", *ratios]


if __name__ == "__main__":
    main()
