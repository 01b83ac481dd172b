"""A minimum size, met by moving as few examples as possible."""

from __future__ import annotations

import numpy as np


def checked_min_size(min_size: int) -> int:
    """Raises ValueError where `min_size` is negative."""
    if min_size < 0:
        raise ValueError(f"min_size must be >= 0, got {min_size}")
    return min_size


def check_possible(min_size: int, number: int, examples: int, partitioner: str) -> None:
    """Raises ValueError where so many clients cannot hold `min_size` examples each, saying what they can."""
    if min_size * number > examples:
        raise ValueError(
            f"partitioner: {partitioner}: min_size {min_size} for {number} clients needs {min_size * number} "
            f"examples, there are {examples}; at most {examples // number} is possible"
        )


def filled_up(
    owners: np.ndarray, number: int, min_size: int, generator: np.random.Generator, partitioner: str
) -> tuple[np.ndarray, int]:
    """(the client of each example once every client holds at least `min_size`, the number of examples moved).

    The largest clients give, down to a common level, random examples of theirs; the others keep everything.
    owners: int64 [N]. Raises ValueError where it cannot be done.
    """
    check_possible(min_size, number, len(owners), partitioner)
    sizes = np.bincount(owners, minlength=number)
    wanted = np.maximum(min_size - sizes, 0)
    if not wanted.any():
        return owners, 0
    given = _given_away(owners, _gifts(sizes, int(wanted.sum()), generator), generator)
    owners = owners.copy()
    owners[generator.permutation(given)] = np.repeat(np.arange(number), wanted)
    return owners, len(given)


def _gifts(sizes: np.ndarray, total: int, generator: np.random.Generator) -> np.ndarray:
    """The number that each client gives so that the largest become equal within one, `total` in all, int64 [K]."""
    falling = np.sort(sizes)[::-1]
    # given[i]: what the i + 1 largest give when they come down to the size of the next one.
    given = np.cumsum(falling) - np.arange(1, len(sizes) + 1) * np.append(falling[1:], 0)
    donors = int(np.searchsorted(given, total)) + 1
    level, spare = divmod(int(falling[:donors].sum()) - total, donors)
    gifts: np.ndarray = np.maximum(sizes - level, 0)
    # `level` leaves `spare` examples more than `total` in the gifts: that many donors stay one above it.
    keepers = generator.permutation(np.flatnonzero(gifts))[:spare]
    gifts[keepers] -= 1
    return gifts


def _given_away(owners: np.ndarray, gifts: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Random examples, `gifts` [K] of each client's."""
    held = generator.permutation(np.flatnonzero(gifts[owners] > 0))
    held = held[np.argsort(owners[held], kind="stable")]
    sizes = np.bincount(owners[held], minlength=len(gifts))
    rank = np.arange(len(held)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.asarray(held[rank < gifts[owners[held]]])
