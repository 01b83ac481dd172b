"""Measures of each client, grouped from one forward pass over all of their examples, and their distribution."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from federated.metrics import Metrics
from federated.metrics.row_blocks import row_blocks

STATISTICS = ("mean", "median", "worst_10_percent", "best_10_percent", "sd", "gini")
CLIENTS = "clients"
"""Of a measure that not every client's examples define: for how many clients it is defined."""


def are_finite(outputs: Tensor) -> bool:
    """Whether all of outputs [N, outputs] are."""
    return all(bool(torch.isfinite(outputs[rows]).all()) for rows in row_blocks(outputs))


def grouped_sums(values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Sum of the values [N] of each client [K], whose examples follow one another. sizes: int [K]."""
    owners = np.repeat(np.arange(len(sizes)), sizes)
    return np.bincount(owners, weights=values, minlength=len(sizes))


def grouped_means(values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Mean of the values [N] of each client [K]; NaN where it has none."""
    means = np.full(len(sizes), np.nan)
    averages: np.ndarray = np.divide(grouped_sums(values, sizes), sizes, out=means, where=sizes > 0)
    return averages


def grouped_r2(outputs: np.ndarray, targets: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """R2 of each client [K], averaged over outputs as scikit-learn does; NaN below 2 examples.

    outputs, targets: [N, outputs]. A client whose targets are all the same has 1 where they are met exactly,
    else 0.
    """
    scores, ends = [], np.cumsum(sizes)
    for predicted, true in zip(outputs.T, targets.T, strict=True):
        centred = true - np.repeat(grouped_means(true, sizes), sizes)
        residual, total = grouped_sums((true - predicted) ** 2, sizes), grouped_sums(centred**2, sizes)
        # the total of equal targets may be above 0, as their mean is rounded
        differ = grouped_sums(true != true[np.repeat(ends - sizes, sizes)], sizes) > 0
        spread = differ & (total > 0)
        flat = np.where(residual == 0, 1.0, 0.0)
        scores.append(np.where(spread, 1 - residual / np.where(spread, total, 1.0), flat))
    return np.where(sizes > 1, np.mean(scores, axis=0), np.nan)


def distribution(values: np.ndarray, *, higher_is_better: bool) -> Metrics:
    """The distribution of a measure over clients; values [K], NaN for clients without examples, which are ignored.

    mean, median, sd (divisor K - 1; 0 for one client) and gini, each client alike. worst_10_percent,
    best_10_percent: the mean over that tenth of the clients, rounded up (as in Li et al. 2020, "Fair resource
    allocation in federated learning"). {} where no client has examples.
    """
    rising = np.sort(values[~np.isnan(values)])
    if not len(rising):
        return {}
    tenth = math.ceil(len(rising) / 10)
    low, high = float(rising[:tenth].mean()), float(rising[-tenth:].mean())
    return {
        "mean": float(rising.mean()),
        "median": float(np.median(rising)),
        "worst_10_percent": low if higher_is_better else high,
        "best_10_percent": high if higher_is_better else low,
        "sd": float(rising.std(ddof=1)) if len(rising) > 1 else 0.0,
        "gini": gini(rising),
    }


def gini(values: np.ndarray) -> float:
    """Gini coefficient of values [K] >= 0: half the mean absolute difference over the mean; 0 where all are 0."""
    rising, count = np.sort(values), len(values)
    if not rising.sum() > 0:
        return 0.0
    ranks = np.arange(1, count + 1)
    return max(float(2 * (ranks * rising).sum() / (count * rising.sum()) - (count + 1) / count), 0.0)
