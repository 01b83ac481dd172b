"""The bound of single gradients, and the noise on their sum."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from federated.foundation.randomness import NoiseSource
from federated.local_training.steps.work import LocalWork
from federated.privacy import PerExample


def shares_kept(private: PerExample, norms: Tensor) -> Tensor:
    """What gradients with these norms are multiplied by, so that none is longer than the bound.

    Under noise a gradient whose norm is not a finite number counts as zeros, see `without_lost`.
    """
    shares = (private.norm / norms).clamp_(max=1)
    return shares.nan_to_num_(nan=0.0) if private.noise_multiplier else shares


def without_lost(rows: Tensor, shares: Tensor) -> Tensor:
    """The rows [..., b, n] with zeros where their share [..., b] is 0, as 0 times infinity is not 0."""
    lost = shares == 0
    if rows.is_cpu and not lost.any():  # a GPU would have to be waited for
        return rows
    return rows.masked_fill(lost[..., None], 0)


class Noise:
    """The noise of one client in a round, a vector for each step in turn.

    A function of (seed, round, client, stream), so that it does not depend on who trains beside it, or where.
    """

    def __init__(self, work: LocalWork, done: int, client: int, stream: int) -> None:
        assert work.per_example is not None
        private = work.per_example
        self._deviation = private.noise_multiplier and private.noise_multiplier * private.norm
        self._numbers = NoiseSource(work.seed, private.secure).of_clients(done, [client], stream)[0]

    def add_to(self, total: Tensor) -> None:
        """Add the noise of the next step to the sum [T] of a batch's gradients, in place."""
        if self._deviation:
            drawn = self._numbers.standard_normal(total.numel(), np.float32)
            total.add_(torch.from_numpy(drawn).to(total), alpha=self._deviation)
