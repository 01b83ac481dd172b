"""Scoring: what a run's model is measured by, and which of it is the main measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from federated.metrics import Metrics
from federated.metrics.by_client import grouped_means, grouped_sums
from federated.metrics.client_intervals import ClientSums
from federated.metrics.measures import Measure, Predictions
from federated.metrics.tasks import Task


@dataclass(frozen=True)
class Scoring:
    """The measures of one run. This is the one place that says which is the main one.

    main: the measure by which arms are compared. pooled: all that are measured of each set of examples.
    spread: those whose distribution over clients is measured; the gaps are those of the first, the headline.
    """

    task: Task
    main: Measure
    pooled: tuple[Measure, ...]
    spread: tuple[Measure, ...]

    @property
    def by_client(self) -> tuple[Measure, ...]:
        """The measures of each client that the table of clients shows; macro F1 only where it was asked for."""
        return tuple(each for each in self.pooled if each.name != "macro_f1" or each in self.spread)

    @property
    def headline(self) -> Measure:
        """The measure of gaps, of what fine-tuning gains and of pictures by client."""
        return self.spread[0]

    def predictions(self, outputs: Tensor, targets: Tensor) -> Predictions:
        """Outputs [N, outputs] of the run's model beside their targets."""
        return Predictions(self.task.answers(outputs), targets)

    def measured(self, found: Predictions) -> Metrics:
        """Every measure of the pooled examples by its name; what is undefined is left out."""
        values = {measure.name: measure.of(found) for measure in self.pooled}
        return {name: value for name, value in values.items() if not np.isnan(value)}


def scoring_of(task: Task) -> Scoring:
    """The scoring of a run of this task."""
    return Scoring(task, task.measure(task.main), task.measures, (task.measure(task.headline),))


def of_clients(measure: Measure, found: Predictions, sizes: np.ndarray) -> np.ndarray:
    """The measure of each client's examples, which follow one another, [K]; NaN where it is undefined.

    sizes: the number of each client's, int [K].
    """
    arrays = measure.arrays(found)
    if measure.mean:
        return grouped_means(arrays[0], sizes)
    ends = np.cumsum(sizes)
    values = np.full(len(sizes), np.nan)
    for client in np.flatnonzero(sizes >= max(measure.least, 1)):
        rows = slice(ends[client] - sizes[client], ends[client])
        values[client] = measure.value(*(array[rows] for array in arrays))
    return values


def client_sums(measure: Measure, found: Predictions, sizes: np.ndarray) -> ClientSums:
    """The sums of a measure over each client's examples."""
    return ClientSums(grouped_sums(measure.arrays(found)[0], sizes), sizes)
