"""Random-k sparsification: coordinates that both ends draw from one seed."""

from __future__ import annotations

import numpy as np

from federated.compressors.coding.payload import taken
from federated.compressors.compressor import Compressor
from federated.compressors.parts import Parts, Reduced, Reduction, Restorer, Row
from federated.compressors.pipeline import pipeline
from federated.compressors.selections.selection import checked_fraction, scattered, share_of
from federated.compressors.traits import NO_TRAITS, Trait, Traits
from federated.foundation.randomness import seeded

_SEED_BYTES = 8


def random_k(fraction: float, unbiased: bool = True) -> Compressor:
    """Send a random `fraction` of the coordinates, at least one; 8 bytes of seed say which.

    Konecny et al. 2016, "Federated learning: strategies for improving communication efficiency", section 3
    (random mask). With `unbiased` they are multiplied by P/k, and E||Q(x) - x||^2 = (P/k - 1) ||x||^2; without,
    E||Q(x) - x||^2 = (1 - k/P) ||x||^2 (Stich et al. 2018, lemma A.1), which `error_feedback` needs.
    """
    checked_fraction(fraction)

    def reduce(state: Row, row: np.ndarray, generator: np.random.Generator) -> Reduced:
        seed = generator.bytes(_SEED_BYTES)
        numbers = row[_drawn(seed, fraction, row.size)]
        if unbiased:
            largest = np.finfo(np.float32).max
            with np.errstate(over="ignore"):
                numbers = np.clip(numbers * np.float32(row.size / numbers.size), -largest, largest)
        return Reduced(numbers, seed, state)

    def read(content: memoryview, num_parameters: int) -> tuple[Restorer, memoryview]:
        seed, rest = taken(content, _SEED_BYTES)
        return scattered(_drawn(bytes(seed), fraction, num_parameters), num_parameters), rest

    return pipeline(Parts(Reduction(b"r", reduce, read, traits=_traits(fraction, unbiased), random=True)))


def _traits(fraction: float, unbiased: bool) -> Traits:
    if fraction == 1:
        return frozenset({Trait.UNBIASED})
    return frozenset({Trait.UNBIASED, Trait.EXPANDS}) if unbiased else NO_TRAITS


def _drawn(seed: bytes, fraction: float, num_parameters: int) -> np.ndarray:
    return np.sort(
        seeded(seed).choice(num_parameters, share_of(fraction, num_parameters), replace=False, shuffle=False)
    )
