"""The null band: the same measures on random partitions with the same client sizes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

MOST_DRAWS, FEWEST_DRAWS = 199, 39
"""Both make the 95 % exact: see `band`."""

_CELLS_FOR_MOST_DRAWS = 4_000
_CELLS_AT_A_TIME = 1_000_000


def band(drawn: np.ndarray) -> tuple[float, float]:
    """The 2.5-97.5 % range of a measure over draws [R], R = 39 or 199.

    Its ends are the j-th smallest and the j-th largest of the R values, j = (R + 1) / 40: another random
    partition lies between them with a chance of exactly (R + 1 - 2 j) / (R + 1) = 95 %, ties aside, because
    all R + 1 orders are equally likely. That is why few draws will do; more only make the ends steadier.
    """
    rank = (len(drawn) + 1) // 40
    ordered = np.partition(drawn, (rank - 1, len(drawn) - rank))
    return float(ordered[rank - 1]), float(ordered[len(drawn) - rank])


def num_draws(num_clients: int, num_classes: int) -> int:
    """199 for small tables of clients x classes, 39 for large ones, which vary less and cost more."""
    return MOST_DRAWS if num_clients * num_classes <= _CELLS_FOR_MOST_DRAWS else FEWEST_DRAWS


def random_counts(
    sizes: np.ndarray, totals: np.ndarray, draws: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Label counts of `draws` random partitions, in parts int64 [r, K, C] that fit into memory.

    sizes: int [K], sums of the rows. totals: int [C], sums of the columns. Each table has the law of dealing
    shuffled examples to clients of these sizes: clients are halved again and again, and what the first half
    gets of each class is a multivariate hypergeometric draw. All tables and all halves of one level are
    drawn at once.
    """
    at_a_time = max(1, _CELLS_AT_A_TIME // (len(sizes) * len(totals)))
    for start in range(0, draws, at_a_time):
        number = min(at_a_time, draws - start)
        yield _random_tables(sizes, np.broadcast_to(totals, (number, 1, len(totals))), generator)


def _random_tables(sizes: np.ndarray, totals: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    levels = int(np.ceil(np.log2(len(sizes))))
    padded = np.pad(sizes, (0, 2**levels - len(sizes)))
    tables = totals  # [r, groups of clients, C]
    for level in range(levels):
        firsts = padded.reshape(2 ** (level + 1), -1).sum(axis=1)[::2]
        given = _dealt(tables, firsts, generator)
        tables = np.stack([given, tables - given], axis=2).reshape(len(totals), -1, totals.shape[2])
    return tables[:, : len(sizes)]


def _dealt(available: np.ndarray, wanted: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Multivariate hypergeometric: `wanted` [G] examples drawn from `available` [r, G, C], class by class."""
    given = np.empty_like(available)
    missing = np.broadcast_to(wanted, available.shape[:2]).copy()
    later = available.sum(axis=2)
    for label in range(available.shape[2] - 1):
        here = available[:, :, label]
        later = later - here
        given[:, :, label] = generator.hypergeometric(here, later, missing)
        missing -= given[:, :, label]
    given[:, :, -1] = missing
    return given
