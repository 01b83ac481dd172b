"""Scoring: what a run's model is measured by, and which of it is the main measure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from federated.metrics import Metrics
from federated.metrics.by_client import grouped_means
from federated.metrics.measures import Classes, Measure, Predictions, Threshold
from federated.metrics.measures.predictions import NO_THRESHOLDS
from federated.metrics.tasks import Task


@dataclass(frozen=True)
class Scoring:
    """The measures of one run. This is the one place that says which is the main one.

    main: the measure by which arms are compared. pooled: all that are measured of each set of examples.
    spread: those whose distribution over clients is measured; the gaps are those of the first, the headline.
    stated: whether a study asked for them; else they are the task's own.
    """

    task: Task
    main: Measure
    pooled: tuple[Measure, ...]
    spread: tuple[Measure, ...]
    stated: bool = False

    @property
    def by_client(self) -> tuple[Measure, ...]:
        """The measures of each client that the table of clients shows; macro F1 only where it was asked for."""
        return tuple(each for each in self.pooled if each.name != "macro_f1" or each in self.spread)

    @property
    def headline(self) -> Measure:
        """The measure of gaps, of what fine-tuning gains and of pictures by client."""
        return self.spread[0]

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """Those that have to be chosen before anything is measured, each once."""
        found = {each.threshold.name: each.threshold for each in self.pooled if each.threshold is not None}
        return tuple(found.values())

    def predictions(
        self, outputs: Tensor, targets: Tensor, thresholds: Mapping[str, float] = NO_THRESHOLDS
    ) -> Predictions:
        """Outputs [N, outputs] of the run's model beside their targets; of sequences, the positions that count."""
        if self.task.targets == "sequence":
            counted = targets >= 0
            return Predictions(outputs[counted], targets[counted], thresholds, counted.sum(dim=1).numpy())
        return Predictions(self.task.answers(outputs), targets, thresholds)

    def constant(
        self, answer: Tensor, targets: Tensor, thresholds: Mapping[str, float] = NO_THRESHOLDS
    ) -> Predictions:
        """One answer [1, ...] to every example, or at every position that counts."""
        counts = None
        if self.task.targets == "sequence":
            counted = targets >= 0
            targets, counts = targets[counted], counted.sum(dim=1).numpy()
        return Predictions(answer.expand(len(targets), *answer.shape[1:]), targets, thresholds, counts)

    def chosen(self, found: Predictions) -> dict[str, float]:
        """The thresholds that these predictions, which judge nothing, lead to, by their names."""
        return {
            each.name: each.choose(found.labels == each.positive, found.probability(each.positive))
            for each in self.thresholds
        }

    def measured(self, found: Predictions, models: np.ndarray | None = None) -> Metrics:
        """Every measure of the pooled examples by its name, see `of_all`; what is undefined is left out."""
        values = {measure.name: of_all(measure, found, models) for measure in self.pooled}
        return {name: value for name, value in values.items() if not np.isnan(value)}


def scoring_of(task: Task, asked: Sequence[Measure] = (), classes: Classes | None = None) -> Scoring:
    """The scoring of a run of this task by the measures that a study asks for, the main one first; else by its own.

    classes: those of the data. Raises ValueError where a measure does not fit the task or the classes.
    """
    if not asked:
        return Scoring(task, task.measure(task.main), task.measures, (task.measure(task.headline),))
    fitted = tuple(_fitted(each, task, classes) for each in asked)
    if twice := [name for name, count in Counter(each.name for each in fitted).items() if count > 1]:
        raise ValueError(f"{twice[0]} is asked for more than once")
    names = {each.name for each in fitted}
    usual = tuple(each for each in task.measures if each.name not in names)
    return Scoring(task, fitted[0], (*fitted, *usual), fitted, stated=True)


def _fitted(measure: Measure, task: Task, classes: Classes | None) -> Measure:
    if (task.measured_as or task.targets) not in measure.targets:
        wanted = " or ".join(measure.targets)
        raise ValueError(f"{measure.label} is a measure of {wanted}, and this is {task.name}")
    if measure.fit is None:
        return measure
    assert classes is not None
    return measure.fit(classes)


def of_all(measure: Measure, found: Predictions, models: np.ndarray | None = None) -> float:
    """The measure of all examples; NaN where it is undefined.

    models: where each client answers with a model of its own, the number of each client's examples, int [K]. A measure
    that is neither a mean nor `together` is then the mean over the clients for which it is defined, each alike.
    """
    if models is None or measure.mean or measure.together:
        return measure.of(found)
    values = of_clients(measure, found, models)
    return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan


def of_clients(measure: Measure, found: Predictions, sizes: np.ndarray) -> np.ndarray:
    """The measure of each client's examples, which follow one another, [K]; NaN where it is undefined.

    sizes: the number of each client's, int [K].
    """
    arrays, sizes = measure.arrays(found), found.rows_of(sizes)
    if measure.mean:
        return grouped_means(arrays[0], sizes)
    ends = np.cumsum(sizes)
    values = np.full(len(sizes), np.nan)
    for client in np.flatnonzero(sizes >= max(measure.least, 1)):
        rows = slice(ends[client] - sizes[client], ends[client])
        values[client] = measure.value(*(array[rows] for array in arrays))
    return values
