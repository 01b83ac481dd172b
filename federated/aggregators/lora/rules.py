"""The rules: what becomes of a layer's factors, and of what they cannot hold."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from federated.aggregators.lora.factors import Decomposed, Factors, decomposed, norm
from federated.aggregators.lora.layer import Layer, Made

_NOTHING = 1e-9
"""Singular values below this share of what was added up are rounding: float32 updates have eight digits."""


def cut_to_rank(layer: Layer, numbers: np.random.Generator) -> Made:
    """The nearest matrix of the adapter's rank to the mean product, its singular values shared by both factors.

    A direction that the mean product does not have keeps the row of A that it had, beside a column of zeros in B: with
    zeros in both it could never be trained again.
    """
    found, rank = decomposed(layer.exact), len(layer.a)
    at = min(rank, _count(found, norm(layer.exact)))
    roots = found.values[:at].sqrt()
    a, b = layer.a.clone(), torch.zeros_like(layer.b)
    a[:at] = roots[:, None] * found.right[:at]
    b[:, :at] = found.left[:, :at] * roots
    squares = found.values.square()
    return Made(a, b, None, float(squares[:at].sum()), float(squares[at:].sum()))


def rest_beside(layer: Layer, numbers: np.random.Generator) -> Made:
    """The mean factors, and beside the frozen weight what their product lacks of the mean product."""
    return Made(*_means(layer), _thin(layer.error, norm(layer.products)))


def all_beside(layer: Layer, numbers: np.random.Generator) -> Made:
    """The whole mean product goes beside the frozen weight, and the adapter begins anew: A as at first, and B zero."""
    limit = layer.a.shape[1] ** -0.5
    a = torch.from_numpy(numbers.uniform(-limit, limit, tuple(layer.a.shape)))
    return Made(a, torch.zeros_like(layer.b), _thin(layer.exact, norm(layer.exact)))


def _means(layer: Layer) -> tuple[Tensor, Tensor]:
    naive = layer.naive
    return naive.right, naive.left


def _thin(factors: Factors, size: float) -> Factors:
    """The same matrix with factors as thin as its rank; size: the norm of what was added up."""
    found = decomposed(factors)
    at = _count(found, size)
    roots = found.values[:at].sqrt()
    return Factors(found.left[:, :at] * roots, roots[:, None] * found.right[:at])


def _count(found: Decomposed, size: float) -> int:
    """The rank."""
    return int((found.values > _NOTHING * size).sum())
