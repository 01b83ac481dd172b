"""Measure: one number that says how good a model's answers to some examples are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from federated.metrics.measures.predictions import Predictions
from federated.metrics.ranges import COUNT, Ends

Targets = Literal["classification", "regression", "multilabel"]
"""The form of targets: class numbers, numbers, or 0 and 1 of several labels."""

Arrays = tuple[np.ndarray, ...]
"""What a measure is computed from, each [N, ...]: a row for every example."""


class Value(Protocol):
    """The function from the arrays of some examples to their measure; NaN where it is undefined."""

    def __call__(self, *arrays: Any) -> float: ...


class Measure(NamedTuple):
    """A measure of a model's answers to a set of examples, or to those of one client.

    name: as in the names of metrics. label: for people. better: which way. meaning: "mean squared error on {set}", with
    the set of examples left open.
    arrays: what is needed of the predictions, a row for every example. value: from these, of all examples or of some.
    ends: the lowest and the highest value. least: the number of examples below which it is undefined.
    targets: the forms of targets that it fits. mean: whether it is the mean of its one array [N] of numbers.
    """

    name: str
    label: str
    better: Literal["higher", "lower"]
    unit: str
    meaning: str
    arrays: Callable[[Predictions], Arrays]
    value: Value
    ends: Ends = COUNT
    least: int = 1
    targets: tuple[Targets, ...] = ("classification",)
    mean: bool = False

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.better == "higher" else -1

    def of(self, predictions: Predictions) -> float:
        """The measure of all examples, pooled; NaN where it is undefined."""
        arrays = self.arrays(predictions)
        return float(self.value(*arrays)) if len(arrays[0]) >= self.least else np.nan


def mean_of(values: np.ndarray) -> float:
    """The mean of numbers [N]: the value of a measure that is one."""
    return float(values.mean())
