"""The traces of canaries for one who knows what all others sent: what is left of an update without their part."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from federated.privacy.canaries.directions import MOST_KEPT, alignments, directions

_ROUNDING = 1e-10
"""Of a squared length, up to which what is left of it is rounding."""


class Traces(NamedTuple):
    """cosines: float64 [k]. dimension: of the space in which each of them would be random without its canary."""

    cosines: np.ndarray
    dimension: int


def without_part(vector: Tensor, of_clients: Tensor) -> Tensor:
    """A vector [P] without its part along what the clients sent [P], by whatever factor that is in it."""
    length = torch.linalg.vector_norm(of_clients.double())
    if length == 0:
        return vector
    unit = of_clients.double() / length
    left: Tensor = (vector.double() - (vector.double() @ unit) * unit).to(vector)
    return left


def without_others(seed: int, count: int, vector: Tensor) -> Traces:
    """The cosine of each canary with a vector [P], both without their parts along all other canaries.

    The vector without canary i is independent of its direction if i took no part, and so are the other directions: in
    the space at right angles to these, of dimension P - count + 1, the direction is random. Where there are too many
    canaries for their directions to be taken off (more than half of P, or too many for memory), the cosine is with the
    whole vector.
    """
    cosines, dimension = alignments(seed, count, vector), vector.numel()
    if 2 * count > dimension or count * dimension > MOST_KEPT:
        return Traces(cosines, dimension)
    inverse = _inverse(seed, count, dimension)
    coefficients = inverse @ cosines
    traces = coefficients / np.sqrt(np.diag(inverse))
    left = max(1 - float(cosines @ coefficients), _ROUNDING)
    return Traces(traces / np.sqrt(left + traces**2), dimension - count + 1)


@lru_cache(4)
def _inverse(seed: int, count: int, dimension: int) -> np.ndarray:
    """The inverse of the products of all pairs of directions, float64 [count, count]; never written to."""
    every = directions(seed, range(count), dimension).double()
    found: np.ndarray = np.linalg.inv((every @ every.T).numpy())
    return found
