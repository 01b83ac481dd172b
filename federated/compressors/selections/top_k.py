"""Top-k sparsification: only the largest coordinates travel."""

from __future__ import annotations

import numpy as np

from federated.compressors.coding.positions import decode_positions, encode_positions
from federated.compressors.compressor import Compressor
from federated.compressors.parts import Parts, Reduced, Reduction, Restorer, Row
from federated.compressors.pipeline import pipeline
from federated.compressors.selections.selection import checked_fraction, largest, scattered, share_of
from federated.compressors.traits import Trait


def top_k(fraction: float) -> Compressor:
    """Send the `fraction` of coordinates that is largest in magnitude, at least one; the rest become zero.

    Aji & Heafield 2017, "Sparse communication for distributed gradient descent"; the contraction
    ||x - top_k(x)||^2 <= (1 - k/P) ||x||^2 is Stich et al. 2018, eq. 7. Biased: combine it with
    `error_feedback`. k = ceil(fraction P) positions in rising order, in the shortest of several codes, then
    k numbers, then nothing; k itself is not sent. Of equal magnitudes the first travel.
    """
    return pipeline(Parts(reduction=top_k_reduction(fraction)))


def top_k_reduction(fraction: float) -> Reduction:
    """The reduction alone, for what else sends the largest coordinates."""
    checked_fraction(fraction)

    def reduce(state: Row, row: np.ndarray, generator: np.random.Generator) -> Reduced:
        positions = largest(np.abs(row), share_of(fraction, row.size))
        return Reduced(row[positions], encode_positions(positions, row.size), state)

    def read(content: memoryview, num_parameters: int) -> tuple[Restorer, memoryview]:
        positions, rest = decode_positions(content, share_of(fraction, num_parameters), num_parameters)
        return scattered(positions, num_parameters), rest

    return Reduction(b"t", reduce, read, traits=frozenset({Trait.UNBIASED} if fraction == 1 else ()))
