"""Matrices as products of two thin factors: sums, norms and the nearest matrix of a lower rank, without the matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Factors(NamedTuple):
    """The matrix left @ right [d, k]. left: float64 [d, q]; right: float64 [q, k]."""

    left: Tensor
    right: Tensor

    @property
    def matrix(self) -> Tensor:
        """The whole matrix [d, k]."""
        return self.left @ self.right


class Decomposed(NamedTuple):
    """A singular value decomposition. left: [d, s]; values: [s], falling; right: [s, k]."""

    left: Tensor
    values: Tensor
    right: Tensor


def weighted(weights: np.ndarray, lefts: Tensor, rights: Tensor) -> Factors:
    """The sum of w_c left_c right_c over clients: their factors beside each other.

    weights: [c]. lefts: [c, d, r]. rights: [c, r, k].
    """
    each = lefts.double() * torch.from_numpy(weights).view(-1, 1, 1)
    return Factors(each.transpose(0, 1).flatten(1), rights.double().flatten(0, 1))


def added(parts: Sequence[Factors]) -> Factors:
    """The sum of some matrices of one shape."""
    return Factors(torch.cat([part.left for part in parts], 1), torch.cat([part.right for part in parts]))


def shortened(factors: Factors) -> Factors:
    """The same matrix with no more columns and rows between the factors than the matrix itself has."""
    (rows, between), columns = factors.left.shape, factors.right.shape[1]
    if between <= min(rows, columns):
        return factors
    if rows <= columns:
        return Factors(torch.eye(rows, dtype=factors.left.dtype), factors.matrix)
    return Factors(factors.matrix, torch.eye(columns, dtype=factors.left.dtype))


def norm(factors: Factors) -> float:
    """The Frobenius norm.

    By a QR decomposition of both factors and not by their Gram matrices, whose entries are squares: of a sum that
    cancels to 1e-8 of its terms these would leave nothing but rounding.
    """
    return float(torch.linalg.matrix_norm(_cores(factors)[1]))


def decomposed(factors: Factors) -> Decomposed:
    """The singular value decomposition, from that of a matrix as small as the factors are thin."""
    left, core, right = _cores(factors)
    inner, values, outer = torch.linalg.svd(core, full_matrices=False)
    return Decomposed(left @ inner, values, outer @ right)


def _cores(factors: Factors) -> tuple[Tensor, Tensor, Tensor]:
    """(columns that are orthonormal, a small matrix, rows that are), whose product is the matrix."""
    left, upper = torch.linalg.qr(factors.left)
    right, lower = torch.linalg.qr(factors.right.T)
    return left, upper @ lower.T, right.T
