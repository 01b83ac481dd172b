"""PowerSGD: every matrix of the model as the product of two thin ones."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from federated.compressors.coding.payload import PayloadError
from federated.compressors.compressor import Compressor
from federated.compressors.parts import Layout, Parts, Reduced, Reduction, Restorer, Row
from federated.compressors.pipeline import pipeline

_LARGEST = np.finfo(np.float32).max


class _Matrix(NamedTuple):
    """A tensor of an update, [rows, columns] with rows its first dimension, starting at `start`."""

    name: str
    start: int
    rows: int
    columns: int

    def of(self, row: np.ndarray) -> np.ndarray:
        """The matrix in a row [P], as a view."""
        return row[self.start : self.start + self.rows * self.columns].reshape(self.rows, self.columns)


def low_rank(rank: int) -> Compressor:
    """Send each matrix M of the update as P Q^T of the given rank, one step of power iteration from the last round's Q.

    Vogels et al. 2019, "PowerSGD", algorithm 1: P = orthogonalised M Q, Q = M^T P; with a warm start, so that over the
    rounds P Q^T nears the best approximation of that rank. As in the paper, convolutions are [out, in x height x
    width] and tensors of one dimension (biases, norms) travel whole, as do matrices whose factors would be no smaller.
    Differs: each client has factors of its own instead of shared ones from an all-reduce. Biased: combine it with
    `error_feedback`. Raises ValueError where a matrix of the model has no such rank.
    """
    if rank < 1:
        raise ValueError(f"rank must be at least 1, got {rank}")

    def fit(layout: Layout) -> Reduction:
        matrices, whole = _cut(layout, rank)
        return _reduction(rank, matrices, whole)

    return pipeline(Parts(fit=fit))


def _cut(layout: Layout, rank: int) -> tuple[list[_Matrix], np.ndarray]:
    """(matrices that are factored, positions of what travels whole)."""
    matrices, whole, start = [], [], 0
    for name, shape in layout:
        size = math.prod(shape)
        rows, columns = (shape[0], size // shape[0]) if len(shape) > 1 and size else (size, 1)
        if len(shape) > 1 and size and rank > min(rows, columns):
            raise ValueError(
                f"rank must be at most {min(rows, columns)}, which is that of {name} [{rows}, {columns}], got {rank}"
            )
        if len(shape) > 1 and rank * (rows + columns) < size:
            matrices.append(_Matrix(name, start, rows, columns))
        else:
            whole.append(np.arange(start, start + size))
        start += size
    return matrices, np.concatenate([*whole, np.empty(0, np.int64)])


def _reduction(rank: int, matrices: list[_Matrix], whole: np.ndarray) -> Reduction:
    lefts, rights = [m.rows * rank for m in matrices], [m.columns * rank for m in matrices]
    count = sum(lefts) + sum(rights) + whole.size
    size = sum(m.rows * m.columns for m in matrices) + whole.size

    def init(num_parameters: int) -> Row:
        return {"right": np.zeros(sum(rights), np.float32)} if matrices else {}

    def reduce(state: Row, row: np.ndarray, generator: np.random.Generator) -> Reduced:
        left, right = [], []
        before = np.split(state["right"], np.cumsum(rights)[:-1]) if matrices else []
        for matrix, last in zip(matrices, before, strict=True):
            new_left, new_right = _factors(matrix.of(row), last.reshape(-1, rank), generator)
            left.append(new_left.reshape(-1))
            right.append(new_right.reshape(-1))
        kept = {"right": np.concatenate(right)} if matrices else {}
        return Reduced(np.concatenate([*left, *right, row[whole]]), b"", kept)

    def restore(numbers: np.ndarray) -> np.ndarray:
        row = np.empty(size, np.float32)
        left, right, rest = np.split(numbers, [sum(lefts), sum(lefts) + sum(rights)])
        pairs = zip(np.split(left, np.cumsum(lefts)), np.split(right, np.cumsum(rights)), strict=True)
        for matrix, (p, q) in zip(matrices, pairs, strict=False):
            with np.errstate(over="ignore", invalid="ignore"):
                matrix.of(row)[:] = np.clip(p.reshape(-1, rank) @ q.reshape(-1, rank).T, -_LARGEST, _LARGEST)
        row[whole] = rest
        return row

    def read(content: memoryview, num_parameters: int) -> tuple[Restorer, memoryview]:
        if num_parameters != size:
            raise PayloadError(
                f"the payload is for a model of {num_parameters} parameters, which this is not"
            )
        return Restorer(count, restore), content

    return Reduction(b"l", reduce, read, init=init, random=True)


def _factors(
    matrix: np.ndarray, last: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(P [rows, rank] with orthonormal columns, Q [columns, rank]); from random numbers where there is no last Q."""
    scale = np.abs(matrix).max()
    if scale == 0:
        return np.zeros((matrix.shape[0], last.shape[1]), np.float32), np.zeros_like(last)
    size = np.abs(last).max()
    start = last / size if size > 0 else generator.standard_normal(last.shape, dtype=np.float32)
    even = matrix / scale
    left = np.linalg.qr(even @ start)[0]
    with np.errstate(over="ignore"):
        return left, np.clip((even.T @ left) * scale, -_LARGEST, _LARGEST)
