"""What a peer is handed and what it hands back. Needs nothing but numpy."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False)
class Handed:
    """The work, as `benchmarks.work.save` wrote it.

    inputs: float32 [N, 1, 28, 28] in [0, 1]; targets: int64 [N]; clients: the training examples of each client;
    cohorts: int64 [rounds, clients a round]; parameters: of the initial model, by torch's names.
    """

    inputs: np.ndarray
    targets: np.ndarray
    clients: Sequence[np.ndarray]
    test: np.ndarray
    cohorts: np.ndarray
    model: str
    parameters: dict[str, np.ndarray]
    batch_size: int
    learning_rate: float
    momentum: float


def read(path: str) -> Handed:
    """The work in a file."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    batch_size, learning_rate, momentum = arrays["local"].tolist()
    return Handed(
        inputs=arrays["inputs"].astype(np.float32) / 255,
        targets=arrays["targets"],
        clients=np.split(arrays["clients"], np.cumsum(arrays["sizes"])[:-1]),
        test=arrays["test"],
        cohorts=arrays["cohorts"],
        model=str(arrays["model"]),
        parameters={
            name.removeprefix("parameters/"): value
            for name, value in arrays.items()
            if name.startswith("parameters/")
        },
        batch_size=int(batch_size),
        learning_rate=learning_rate,
        momentum=momentum,
    )


def answer(round_seconds: Sequence[float], accuracy: float) -> None:
    """Write what was measured to the file that the command line names second."""
    content = {"round_seconds": list(round_seconds), "accuracy": accuracy}
    Path(sys.argv[2]).write_text(json.dumps(content), encoding="utf-8")
