"""Fashion-MNIST in the size that a workload asks for, or random data of its shape."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np

from federated.datasets.idx import idx
from federated.examples.examples import Examples
from federated.foundation.randomness import Purpose, generator

TRAINING, TEST = 60_000, 10_000


def fashion_mnist(folder: Path, training: int = TRAINING) -> Examples:
    """Fashion-MNIST with exactly `training` training examples: the first, or all of them over and over.

    Random pixels and labels of the same shape where the folder does not hold the files; `is_real` tells.
    """
    whole = idx(folder)() if is_real(folder) else _random()
    assert whole.test is not None
    own = np.flatnonzero(~whole.test)
    chosen = np.concatenate([np.resize(own, training), np.flatnonzero(whole.test)])
    return Examples(
        "fashion_mnist",
        whole.inputs[chosen],
        whole.targets[chosen],
        whole.classes,
        test=np.arange(len(chosen)) >= training,
        source=str(folder) if is_real(folder) else "random",
    )


def default_folder() -> Path:
    """Where Fashion-MNIST is unless one is told."""
    return Path(os.environ.get("FEDSTUDY_TEST_DATA") or "var/datasets") / "fashion-mnist"


def is_real(folder: Path) -> bool:
    """Whether the folder holds the four files."""
    try:
        idx(folder)
    except ValueError as error:
        logging.getLogger(__name__).info("random data: %s", error)
        return False
    return True


def _random() -> Examples:
    """Pixels and labels without any relation between them: the same work, nothing to learn."""
    numbers = generator(0, Purpose.DATA)
    count = TRAINING + TEST
    return Examples(
        "random",
        numbers.integers(256, size=(count, 1, 28, 28), dtype=np.uint8),
        numbers.integers(10, size=count),
        tuple(map(str, range(10))),
        test=np.arange(count) >= TRAINING,
    )
