"""The interface of a task: the loss that is minimised, and the measures of a model's outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from torch import Tensor

from federated.metrics.ranges import COUNT, Ends

Loss = Callable[[Tensor, Tensor], Tensor]
"""(outputs [B, outputs], targets [B] or [B, outputs]) -> mean loss, a scalar."""
Targets = Literal["classification", "regression"]
"""The form of targets: class numbers, or numbers."""


def _none(*arguments: object) -> dict[str, Any]:
    return {}


class Measure(NamedTuple):
    """A measure of the quality of outputs.

    name: as in the names of metrics. label: for people. meaning: "mean squared error on {set}", with the set of
    examples left open. least: the number of examples below which it is undefined.
    """

    name: str
    label: str
    better: Literal["higher", "lower"]
    unit: str
    meaning: str
    ends: Ends = COUNT
    least: int = 1


class Task(NamedTuple):
    """A learning task: its loss, measures and headline metric.

    targets: the form of its targets. num_outputs: (names of the classes or None, targets) -> outputs of the model.
    measures: what is measured of a set of examples: first those of `each` example, as means, then those of a `whole`
        set.
    main: the measure by which arms are compared. headline: the measure of `each` example whose distribution over
        clients and whose gaps are metrics.
    each: (outputs [N, outputs], targets) -> measure -> float64 [N].
    whole: (outputs, targets) -> measure -> value, for what is no mean over examples.
    by_client: (outputs, targets, sizes int [K]) -> measure -> float64 [K], in the table of clients beside the means.
    scores: outputs -> a score (logit) for each class [N, classes], for confusion and calibration; None without classes.
    """

    name: str
    targets: Targets
    num_outputs: Callable[[tuple[str, ...] | None, np.ndarray], int]
    loss: Loss
    measures: tuple[Measure, ...]
    main: str
    headline: str
    each: Callable[[Tensor, Tensor], dict[str, np.ndarray]]
    whole: Callable[[Tensor, Tensor], dict[str, float]] = _none
    by_client: Callable[[Tensor, Tensor, np.ndarray], dict[str, np.ndarray]] = _none
    scores: Callable[[Tensor], Tensor] | None = None

    def measure(self, name: str) -> Measure:
        """The measure of this name."""
        return next(measure for measure in self.measures if measure.name == name)

    @property
    def sign(self) -> int:
        """1 where a higher headline measure is better, -1 where a lower one is."""
        return 1 if self.measure(self.headline).better == "higher" else -1
