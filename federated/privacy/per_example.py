"""The statement of a privacy mechanism inside local training, which every engine reads."""

from __future__ import annotations

from typing import NamedTuple


class PerExample(NamedTuple):
    """Differentially private steps: the gradient of each example is bounded, and their sum is given noise.

    norm: the largest L2 norm of an example's gradient; infinity: no bound. noise_multiplier: the standard deviation of
    the noise on the sum, as a multiple of the norm. secure: batches and noise come from a secure source, see
    `NoiseSource`.
    """

    norm: float
    noise_multiplier: float
    secure: bool = False
