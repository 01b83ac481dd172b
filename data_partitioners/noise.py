"""Feature skew: Gaussian noise on the inputs, more from client to client."""

from __future__ import annotations

import math

import numpy as np

from data_partitioners.partition import Pool
from data_partitioners.skew import Skew
from data_partitioners.transform import Transform, per_client

LARGEST_LEVEL = 1e30
"""Ten times that is a number that inputs of 32 bits can hold."""


def noise(level: float, test: bool = False) -> Skew:
    """Client i of N adds Gaussian noise of standard deviation level i / (N - 1) to its inputs, i = 0 ... N - 1.

    Li et al. 2022 (NIID-Bench), "noise-based feature imbalance", with N - 1 as in its code (i / N in the
    paper; the code also takes for a standard deviation what the paper writes as a variance). Images are
    scaled to [0, 1] first, and not clipped after; features of a table are noised once they are standardised.
    The noise of an example is drawn once, not anew in every epoch. Clients that never take part count too.

    test: also the central test images carry noise, each at the level of one client, evenly and at random.
        NIID-Bench tests on a copy of the whole test set for each client's level; the expected score is the
        same. Unless asked for they are clean.
    """
    if not (level >= 0 and math.isfinite(level)):
        raise ValueError(f"level must be a finite number >= 0, got {level}")
    if level > LARGEST_LEVEL:
        raise ValueError(f"level must be at most {LARGEST_LEVEL:g}, got {level}")

    def draw(pool: Pool, number: int, generator: np.random.Generator) -> Transform:
        levels = (level * np.arange(number) / max(number - 1, 1)).astype(np.float32)
        return Transform("noise", "inputs", per_client(levels, 0.0), _add, generator, test)

    return Skew("noise", transforms=(draw,))


def _add(inputs: np.ndarray, levels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    if inputs.dtype == np.int64:
        raise ValueError("partitioner: noise needs images or numbers; the inputs are tokens (int64)")
    values = np.divide(inputs, 255, dtype=np.float32) if inputs.dtype == np.uint8 else inputs
    drawn = generator.standard_normal(inputs.shape, np.float32)
    drawn *= levels.reshape(-1, *[1] * (inputs.ndim - 1))
    return np.asarray(np.add(values, drawn, out=drawn))
