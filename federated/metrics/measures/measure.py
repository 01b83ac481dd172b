"""Measure: one number that says how good a model's answers to some examples are."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from federated.metrics.by_client import STATISTICS
from federated.metrics.measures.predictions import Predictions
from federated.metrics.ranges import COUNT, Ends

Targets = Literal["classification", "regression", "multilabel", "sequence"]
"""The form of targets: class numbers, numbers, 0 and 1 of several labels, or a class number at each position."""

Better = Literal["higher", "lower"]
Arrays = tuple[np.ndarray, ...]
"""What a measure is computed from, each [N, ...]: a row for every example."""


class Value(Protocol):
    """The function from the arrays of some examples to their measure; NaN where it is undefined."""

    def __call__(self, *arrays: Any) -> float: ...


class Classes(NamedTuple):
    """The classes of a data set: their names, and how many of all its examples each has, int64 [classes]."""

    names: tuple[str, ...]
    counts: np.ndarray

    def number(self, name: str, field: str) -> int:
        """The number of a class. Raises ValueError where there is no class of this name."""
        if name not in self.names:
            some = ", ".join(map(repr, self.names[:10])) + (", ..." if len(self.names) > 10 else "")
            raise ValueError(f"{field}: {name!r} is no class; allowed: {some}")
        return self.names.index(name)


class Threshold(NamedTuple):
    """The probability of one class from which an example counts as positive.

    name: of the rule, as in names of metrics. positive: the class. choose: (whether each example is positive bool [n],
    its probability float64 [n]) -> the threshold; NaN where these examples do not tell.
    """

    name: str
    positive: int
    choose: Callable[[np.ndarray, np.ndarray], float]


class Measure(NamedTuple):
    """A measure of a model's answers to a set of examples, or to those of one client.

    name: as in the names of metrics. label: for people. better: which way. meaning: "mean squared error on {set}", with
    the set of examples left open.
    arrays: what is needed of the predictions, a row for every example. value: from these, of all examples or of some.
    ends: the lowest and the highest value. least: the number of examples below which it is undefined.
    targets: the forms of targets that it fits. mean: whether it is the mean of its one array [N] of numbers.
    needs: what a set of examples must hold for it to be defined, such as "examples of both classes"; "" for any.
    fit: from the classes of the data to the measure of these; None where it does not depend on them. It raises
        ValueError where it does not fit them. positive: the number of the class that it is about, after that; None
        for a measure of all.
    threshold: the threshold that has to be chosen before, on examples that do not judge; None for none.
    together: whether it is of all examples together even where each client answers with a model of its own, as a
        client's few examples do not determine it. Others that are no mean are then the mean over clients: scores of
        different models have no common order.
    quantile: of the targets, which is the best answer of all that are the same for every example; None where it is
        no quantile. own: whether it is a person's own function, of which nothing else is known.
    """

    name: str
    label: str
    better: Better
    unit: str
    meaning: str
    arrays: Callable[[Predictions], Arrays]
    value: Value
    ends: Ends = COUNT
    least: int = 1
    targets: tuple[Targets, ...] = ("classification",)
    mean: bool = False
    needs: str = ""
    fit: Callable[[Classes], Measure] | None = None
    positive: int | None = None
    threshold: Threshold | None = None
    together: bool = False
    quantile: float | None = None
    own: bool = False

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.better == "higher" else -1

    @property
    def statistics(self) -> tuple[str, ...]:
        """What there is of its distribution over clients; a Gini coefficient only of what is never negative."""
        return tuple(each for each in STATISTICS if each != "gini" or self.ends[0] >= 0)

    def of(self, predictions: Predictions) -> float:
        """The measure of all examples, pooled; NaN where it is undefined."""
        arrays = self.arrays(predictions)
        return float(self.value(*arrays)) if len(arrays[0]) >= self.least else np.nan


def mean_of(values: np.ndarray) -> float:
    """The mean of numbers [N]: the value of a measure that is one."""
    return float(values.mean())


def unfitted(found: Predictions) -> Arrays:
    """The arrays of a measure that must be fitted to the classes of the data before."""
    raise TypeError("the measure was not fitted to the classes")


def slug(text: str) -> str:
    """A text as part of the name of a metric, where MLflow allows few characters."""
    return re.sub(r"[^\w.-]", "_", text)
