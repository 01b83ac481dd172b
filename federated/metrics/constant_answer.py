"""Answers that are the same for every example, learnt from training examples: what any model should beat."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor

from federated.metrics.measures import Measure

_QUANTILES = (0.5, 0.05, 0.1, 0.25, 0.75, 0.9, 0.95)
_SURE = 50.0
"""The score of one class, where others have 0, of an answer that it is this one."""
_MOST_TRIED = 10
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
    columns = _columns(targets)
    made = [columns.mean(axis=0), *np.quantile(columns, _QUANTILES, axis=0)]
    return [torch.from_numpy(np.atleast_1d(each))[None] for each in made]


def further_answers(measure: Measure, targets: np.ndarray, num_classes: int | None) -> list[Tensor]:
    """More answers of this form that may be better by one measure than the usual ones.

    Of numbers the measure's own quantile. Of classes, by a measure of one class, always this class, and always the most
    frequent other one; by a person's own measure each of the ten most frequent classes.
    """
    if num_classes is None:
        if measure.quantile is None or measure.targets != ("regression",):
            return []
        return [
            torch.from_numpy(np.atleast_1d(np.quantile(_columns(targets), measure.quantile, axis=0)))[None]
        ]
    by_count = np.argsort(-np.bincount(targets, minlength=num_classes), kind="stable").tolist()
    tried = by_count[:_MOST_TRIED] if measure.own else []
    if measure.positive is not None:
        tried = [measure.positive, *[each for each in by_count if each != measure.positive][:1]]
    return [_always(each, num_classes) for each in tried]


def _always(which: int, num_classes: int) -> Tensor:
    answer = torch.zeros(1, num_classes, dtype=torch.float64)
    answer[0, which] = _SURE
    return answer


def _columns(targets: np.ndarray) -> np.ndarray:
    return targets.reshape(len(targets), -1).astype(np.float64)
