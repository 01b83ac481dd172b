"""The grid of a distributed mechanism: its step, how far a client reaches on it, and how much noise that takes."""

from __future__ import annotations

import math
from typing import NamedTuple

from federated.compressors.values.rotation import BLOCK, block_sizes
from federated.privacy.privacy import Summed

_DEVIATIONS = 6
"""So many standard deviations of a coordinate of the sum stay within half of the modulus: beyond are two in 10^9."""
_FINEST, _COARSEST = 1e-12, 1e6
_HALVINGS = 80
LEAST_DEVIATION = 0.5
"""The accounting is proven from it on."""


class Grid(NamedTuple):
    """step: between two points, over the clipping norm. reach: the L2 norm of a client's rounded update at most, in
    steps. deviation: of each client's noise in each coordinate, in steps. width: the coordinates after the rotation."""

    step: float
    reach: float
    deviation: float
    width: int


def grid_for(noise: float, bits: int, summed: Summed) -> Grid:
    """The finest grid on which the sum fits into `bits` bits. noise: deviation over reach of what must be in a sum.

    Raises ValueError where no grid is coarse enough.
    """
    width = sum(number * size for number, size in block_sizes(summed.size))
    fine, coarse = math.log(_FINEST), math.log(_COARSEST)
    if not _fits(_grid(math.exp(coarse), noise, width, summed), bits, summed):
        raise ValueError(f"bits {bits} are too few for the noise of {summed.clients:,} clients; state more")
    for _ in range(_HALVINGS):
        middle = (fine + coarse) / 2
        if _fits(_grid(math.exp(middle), noise, width, summed), bits, summed):
            coarse = middle
        else:
            fine = middle
    return _grid(math.exp(coarse), noise, width, summed)


def _grid(step: float, noise: float, width: int, summed: Summed) -> Grid:
    reach = math.sqrt(min((1 / step + math.sqrt(width)) ** 2, _likely(1 / step, width)))
    return Grid(step, reach, noise * reach / math.sqrt(summed.least), width)


def _likely(norm: float, width: int) -> float:
    """The squared norm that rounding a vector of this norm at random exceeds with probability exp(-1/2) at most."""
    return norm**2 + width / 4 + norm + math.sqrt(width) / 2


def _fits(grid: Grid, bits: int, summed: Summed) -> bool:
    """Whether the sum stays within the modulus: of equal updates in a single block, with rounding and noise."""
    clients = summed.clients
    alike = (clients / grid.step) ** 2 / min(grid.width, BLOCK)
    variance = alike + clients / 4 + clients * grid.deviation**2
    return 2 * _DEVIATIONS * math.sqrt(variance) <= 2.0**bits


def divergence(grid: Grid, least: int) -> tuple[float, float]:
    """(rho, xi) of concentrated differential privacy of one round, for a client's update replaced by zeros.

    The noise of the `least` clients that are in a sum at least is a sum of discrete Gaussians, which is no discrete
    Gaussian but close to one: Kairouz, Liu and Steinke 2021, theorem 1 and proposition 14. Either bound holds; the one
    that is smaller at order 10 is taken.
    """
    shares = (part / (part + 1) for part in range(1, least))
    tau = 10 * sum(math.exp(-2 * math.pi**2 * grid.deviation**2 * share) for share in shares)
    scale = grid.reach / (math.sqrt(least) * grid.deviation)
    bounds = (scale**2 / 2, tau * grid.width), ((scale + math.sqrt(grid.width) * tau) ** 2 / 2, 0.0)
    return min(bounds, key=lambda bound: 10 * bound[0] + bound[1])
