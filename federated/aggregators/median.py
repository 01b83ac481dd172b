"""The median of every coordinate."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from federated.aggregators.aggregator import Aggregator


def median() -> Aggregator:
    """The median of every coordinate over the cohort; of an even number, the mean of the two in the middle.

    Yin et al. 2018, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", definition 1. A few
    clients with wild updates hardly move it. Counts every client alike, whatever `cohort.weighting` says. Where
    clients' data differ it also drops what few clients know: it is no mean, and converges to another model.
    """

    def reduce(weights: np.ndarray, decoded: Tensor) -> Tensor:
        return torch.from_numpy(np.median(decoded.numpy(), axis=0))

    return Aggregator(reduce)
