"""Answers that are the same for every example, learnt from training examples: what any model should beat."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor

_QUANTILES = (0.5, 0.05, 0.1, 0.25, 0.75, 0.9, 0.95)
_UNSEEN_CLASS = 0.5
"""Examples that a class without a training example counts as, so that its probability is not 0."""
_SET = re.compile(r"^generalisation/(test|client|unseen|validation)_")


def constant_metric(metric: str) -> str:
    """The metric of a constant answer beside another: `generalisation/test_r2` -> `generalisation/test_constant_r2`."""
    return _SET.sub(r"generalisation/\1_constant_", metric)


def constant_answers(targets: np.ndarray, num_classes: int | None, labels: bool = False) -> list[Tensor]:
    """Answers float64 [1, ...] to give to every example alike, by the training targets; the usual one first.

    Of classes (targets int [N]) the logarithms of their shares: probabilities are the shares, the answer the most
    frequent class, and of several that are as frequent the first. Of numbers (targets [N] or [N, outputs]) the mean,
    then the median and other quantiles, which some measures prefer. Of labels (targets of 0 and 1, [N, labels]) the
    logits of their shares, then that every example has them all.
    """
    if labels:
        shares = (targets.reshape(len(targets), -1).sum(axis=0) + _UNSEEN_CLASS) / (
            len(targets) + 2 * _UNSEEN_CLASS
        )
        return [
            torch.from_numpy(each)[None] for each in (np.log(shares / (1 - shares)), np.ones(len(shares)))
        ]
    if num_classes is not None:
        counts = np.maximum(np.bincount(targets, minlength=num_classes), _UNSEEN_CLASS)
        return [torch.from_numpy(np.log(counts / counts.sum()))[None]]
    columns = targets.reshape(len(targets), -1).astype(np.float64)
    made = [columns.mean(axis=0), *np.quantile(columns, _QUANTILES, axis=0)]
    return [torch.from_numpy(np.atleast_1d(each))[None] for each in made]
