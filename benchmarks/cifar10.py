"""pfl-research's CIFAR-10 benchmark: 1,000 users of 50 images, 50 a round, one epoch of batches of 10 at rate 0.1.

Granqvist et al. 2024, "pfl-research: simulation framework for accelerating research in Private Federated Learning", IID
setting. Its model without its two dropout layers, for everybody that is measured.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import nn

from benchmarks.workloads import Workload
from federated.examples.examples import Examples
from federated.foundation.randomness import Purpose, generator

TRAINING, TEST = 50_000, 10_000
SHAPE, CLASSES = (3, 32, 32), 10
_RECORD = 1 + 3 * 32 * 32
_FILES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")


def cifar10(folder: Path, training: int = TRAINING) -> Examples:
    """The first training images of CIFAR-10 in its binary version; random ones where the folder has no such files."""
    pixels, labels = _read(folder) if is_real(folder) else _random(training)
    count = len(labels) - min(TEST, len(labels) - training)
    chosen = np.r_[:training, count : len(labels)]
    return Examples(
        "cifar10",
        pixels[chosen],
        labels[chosen],
        tuple(map(str, range(CLASSES))),
        test=np.arange(len(chosen)) >= training,
        source=str(folder) if is_real(folder) else "random",
    )


def is_real(folder: Path) -> bool:
    """Whether the folder holds the six files of the binary version."""
    return all((Path(folder) / name).is_file() for name in _FILES)


def two_convolutions(input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    """3x3 to 32 and 64 channels, 2x2 max-pooling, dense 128: 1,626,442 parameters for CIFAR-10."""
    side = (input_shape[-1] - 4) // 2
    return nn.Sequential(
        nn.Conv2d(input_shape[0], 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * side * side, 128),
        nn.ReLU(),
        nn.Linear(128, num_outputs),
    )


def _read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    records = np.concatenate([np.fromfile(Path(folder) / name, np.uint8) for name in _FILES])
    records = records.reshape(-1, _RECORD)
    return records[:, 1:].reshape(-1, *SHAPE), records[:, 0].astype(np.int64)


def _random(training: int) -> tuple[np.ndarray, np.ndarray]:
    numbers, count = generator(0, Purpose.DATA), training + min(TEST, training)
    return numbers.integers(256, size=(count, *SHAPE), dtype=np.uint8), numbers.integers(CLASSES, size=count)


CIFAR10 = Workload(
    "pfl-research's CIFAR-10: 1000 IID clients of 50, two convolutions, 50 a round, batch 10, lr 0.1",
    12,
    TRAINING,
    {
        "clients": 1000,
        "cohort": {"size": 50},
        "model": "benchmarks.cifar10:two_convolutions",
        "local": {"epochs": 1, "batch_size": 10, "learning_rate": 0.1, "momentum": 0.0},
    },
    dataset="benchmarks.cifar10:cifar10",
)
