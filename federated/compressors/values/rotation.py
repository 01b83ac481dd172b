"""Random rotations in blocks of a power of two: uniform for short blocks, two Hadamard rotations for the others."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

BLOCK = 2**12
"""Numbers rotated together: as one stack of two products with matrices of 64 x 64, in the processor's cache."""
_SMALLEST = 2**5
_TOGETHER = 16  # blocks, which the processor's cache holds


def block_sizes(count: int) -> list[tuple[int, int]]:
    """[(how many, of what power of two)] that together hold `count` numbers and less than 32 zeros more.

    One rotation of the next power of two would be up to twice as long as the numbers.
    """
    whole, rest = divmod(count, BLOCK)
    sizes = [(min(whole - at, _TOGETHER), BLOCK) for at in range(0, whole, _TOGETHER)]
    size = BLOCK // 2
    while size >= _SMALLEST:
        if rest >= size:
            sizes.append((1, size))
            rest -= size
        size //= 2
    return [*sizes, (1, 1 << (rest - 1).bit_length())] if rest else sizes


class Turn(NamedTuple):
    """A random rotation of blocks float32 [n, width], and the way back."""

    forward: Callable[[np.ndarray], np.ndarray]
    backward: Callable[[np.ndarray], np.ndarray]


def turn(draws: np.random.Generator, number: int, width: int) -> Turn:
    """The next random rotation of so many blocks that the generator makes.

    After one Hadamard rotation with random signs, numbers are as good as normal only if no few of them outweigh the
    others: of a single spike all become equal. After a second one they are. Blocks of 32 and fewer, where that is not
    so yet, have a rotation that is uniform among all.
    """
    if width <= _SMALLEST:
        matrix = _uniform(draws, width)
        return Turn(lambda blocks: blocks @ matrix, lambda blocks: blocks @ matrix.T)
    first, second = (signs_of(draws, number * width).reshape(number, width) for _ in range(2))
    return Turn(
        lambda blocks: rotated(rotated(blocks * first) * second),
        lambda blocks: rotated(rotated(blocks) * second) * first,
    )


def _uniform(draws: np.random.Generator, width: int) -> np.ndarray:
    """An orthogonal matrix from the uniform distribution, float32 [width, width]: Mezzadri 2007."""
    found, triangle = np.linalg.qr(draws.standard_normal((width, width)))
    matrix: np.ndarray = (found * np.sign(np.diag(triangle))).astype(np.float32)
    return matrix


def signs_of(seed: np.random.Generator, count: int) -> np.ndarray:
    """`count` random signs, float32."""
    drawn = np.unpackbits(np.frombuffer(seed.bytes(-(-count // 8)), np.uint8), count=count)
    return np.take(np.array([1, -1], np.float32), drawn)


def rotated(blocks: np.ndarray) -> np.ndarray:
    """The orthonormal Walsh-Hadamard transform of each row, float32 [n, 2**m]; its own inverse."""
    width = blocks.shape[1]
    left = 1 << ((width.bit_length() - 1) // 2)
    right = width // left
    cubes = blocks.reshape(-1, left, right)
    turned: np.ndarray = _hadamard(left) @ cubes @ _hadamard(right)
    return turned.reshape(blocks.shape)


@lru_cache(maxsize=16)
def _hadamard(size: int) -> np.ndarray:
    """Sylvester's matrix over the root of its size, float32 [size, size]."""
    from scipy.linalg import hadamard

    matrix: np.ndarray = (hadamard(size) / np.sqrt(size)).astype(np.float32)
    return matrix
