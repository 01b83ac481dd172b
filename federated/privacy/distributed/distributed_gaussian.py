"""Noise of all clients together, inside secure aggregation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from federated.participation import SamplingLaw
from federated.privacy.clipping import check_norm, clipped
from federated.privacy.distributed.grid import LEAST_DEVIATION, Grid, divergence, grid_for
from federated.privacy.distributed.rounding import on_grid
from federated.privacy.privacy import Bounded, Gathered, InSum, Memory, Participated, Privacy, Summed

if TYPE_CHECKING:
    from dp_accounting import DpEvent

_FEWEST_BITS, _MOST_BITS = 8, 32


def distributed_gaussian(norm: float, noise_multiplier: float | None = None, bits: int = 20) -> Privacy:
    """Each client clips its update to `norm`, rotates it, rounds it to integers and adds discrete Gaussian noise to it.

    Kairouz, Liu and Steinke 2021, "The Distributed Discrete Gaussian Mechanism for Federated Learning with Secure
    Aggregation". It goes with `transport: secure_aggregation(threshold=...)`, whose server reads the sum alone: no
    single update has enough noise, and the sum has.

    norm: the bound of each client's update.
    noise_multiplier: the deviation of the noise in a sum of the fewest clients that the transport opens, over how far
        one client can move that sum, rounding included; where all stay there is more noise, and where any drop out
        there is never less. null where privacy.target_epsilon solves for it; 0: no noise and no guarantee.
    bits: of the modulus of each number of the sum; the grid is as fine as they allow.

    Clients that collude with the server know their own noise, which then protects nobody: the guarantee is of cohorts
    without any, or with so many fewer as the threshold is higher. A rotation by random signs is one for the whole run.
    """
    noise = math.nan if noise_multiplier is None else noise_multiplier
    check_norm(norm)
    if noise_multiplier is not None and not (0 <= noise < math.inf):
        raise ValueError(f"noise_multiplier must be a finite number >= 0, got {noise_multiplier}")
    if not _FEWEST_BITS <= bits <= _MOST_BITS:
        raise ValueError(f"bits must be from {_FEWEST_BITS} to {_MOST_BITS}, got {bits}")

    def bound(memory: Memory, updates: Tensor, numbers: Sequence[np.random.Generator]) -> Bounded:
        return Bounded(*clipped(updates, norm))

    def release(memory: Memory, gathered: Gathered, numbers: np.random.Generator) -> tuple[Memory, Tensor]:
        return memory, gathered.update * (gathered.clients / gathered.expected)

    def grid(participated: Participated) -> tuple[Grid, Summed]:
        if participated.summed is None:
            raise ValueError("its noise is of sums that secure aggregation opens")
        if participated.law is SamplingLaw.POISSON:
            raise ValueError(
                "with cohort.sampling: poisson the number of clients that add noise varies; use cohorts of a fixed size"
            )
        return grid_for(noise, bits, participated.summed), participated.summed

    def guarantee(participated: Participated) -> DpEvent:
        from dp_accounting import NonPrivateDpEvent, SelfComposedDpEvent, ZCDpEvent

        found, summed = grid(participated)
        if found.deviation < LEAST_DEVIATION:
            return NonPrivateDpEvent()
        return SelfComposedDpEvent(ZCDpEvent(*divergence(found, summed.least)), participated.most)

    def in_sum(summed: Summed, public: np.random.Generator) -> InSum:
        found = grid_for(noise, bits, summed)
        if noise and found.deviation < LEAST_DEVIATION:
            raise ValueError(
                f"bits {bits} make steps so coarse that each client's noise is {found.deviation:.2g} of one, and "
                f"{LEAST_DEVIATION} is the least that is accounted for; state more bits, or more noise"
            )
        return InSum(on_grid(found, norm, summed.size, public), bits, found.width)

    def noise_ratio(participated: Participated, size: int) -> float:
        found, _ = grid(participated)
        return found.deviation * found.step * math.sqrt(size / participated.cohort)

    return Privacy(
        bound,
        release,
        guarantee=None if noise == 0 else guarantee,
        noise_ratio=noise_ratio,
        in_sum=in_sum,
    )
