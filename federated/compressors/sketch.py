"""Count sketch: a small table in which every coordinate is added up several times."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from federated.compressors.compressor import Compressor
from federated.compressors.parts import Parts, Reduced, Reduction, Restorer, Row
from federated.compressors.pipeline import pipeline
from federated.compressors.selection import checked_fraction, largest, share_of
from federated.randomness import seeded

_HASHES = b"count sketch"


def sketch(fraction: float, keep: float = 0.01, rows: int = 5) -> Compressor:
    """Send a count sketch of `fraction` x P numbers; the server reads the `keep` x P largest coordinates out of it.

    Charikar et al. 2002: each of `rows` rows adds every coordinate, with a random sign, to a random one of its
    columns; the estimate of a coordinate is the median over the rows, off by at most about ||x|| / sqrt(columns).
    Rothchild et al. 2020, "FetchSGD", adds the clients' sketches up and keeps momentum and error at the server; here
    each client's is read on its own and `error_feedback` keeps the error at the client, so that any algorithm
    may follow. All clients use the same hashes. Biased.
    """
    checked_fraction(fraction), checked_fraction(keep)
    if rows < 1:
        raise ValueError(f"rows must be at least 1, got {rows}")

    def columns(num_parameters: int) -> int:
        return max(share_of(fraction, num_parameters) // rows, 1)

    def reduce(state: Row, row: np.ndarray, generator: np.random.Generator) -> Reduced:
        places, signs = _hashes(row.size, rows, columns(row.size))
        scale = np.abs(row).max(initial=0) or np.float32(1)
        shares = row / scale
        table = [np.bincount(p, shares * s, columns(row.size)) for p, s in zip(places, signs, strict=True)]
        top = np.finfo(np.float32).max
        numbers = np.clip(np.concatenate(table) * np.float64(scale), -top, top).astype(np.float32)
        return Reduced(numbers, b"", state)

    def read(content: memoryview, num_parameters: int) -> tuple[Restorer, memoryview]:
        def restore(numbers: np.ndarray) -> np.ndarray:
            places, signs = _hashes(num_parameters, rows, columns(num_parameters))
            table = numbers.reshape(rows, -1)
            every = np.stack([line[p] * s for line, p, s in zip(table, places, signs, strict=True)])
            estimates = np.median(every, axis=0)
            kept = largest(np.abs(estimates), share_of(keep, num_parameters))
            row = np.zeros(num_parameters, np.float32)
            row[kept] = estimates[kept]
            return row

        return Restorer(rows * columns(num_parameters), restore), content

    return pipeline(Parts(Reduction(b"k", reduce, read)))


@lru_cache(maxsize=2)
def _hashes(size: int, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """(column int32 [rows, P], sign int8 [rows, P]): the same for everybody."""
    generator = seeded(_HASHES)
    places = generator.integers(columns, size=(rows, size), dtype=np.int32)
    return places, (generator.integers(2, size=(rows, size), dtype=np.int8) * 2 - 1).astype(np.int8)
