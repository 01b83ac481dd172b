"""Points on a noisy line: the classical first example of federated learning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from federated.examples.examples import Examples
from federated.foundation.randomness import Purpose, generator


def linear(
    size: int = 1000, slope: float = 2.0, intercept: float = 1.0, noise: float = 0.1, data_seed: int = 0
) -> Callable[[], Examples]:
    """Regression: x ~ U(0, 1), y = slope x + intercept + noise N(0, 1), so the least possible MSE is noise^2."""
    if size < 2:
        raise ValueError(f"size must be at least 2, got {size}")
    if noise < 0:
        raise ValueError(f"noise must be >= 0, got {noise}")

    def load() -> Examples:
        numbers = generator(data_seed, Purpose.DATA)
        x = numbers.uniform(size=(size, 1))
        y = slope * x[:, 0] + intercept + noise * numbers.standard_normal(size)
        return Examples("linear", x.astype(np.float32), y.astype(np.float32), None, source="generated")

    return load
