"""The interface of a task: the loss that is usual, and the measures of a model's outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch import Tensor

from federated.metrics.measures.measure import Measure, Targets


def one_output_a_class(classes: tuple[str, ...] | None, targets: np.ndarray) -> int:
    """The number of outputs of a model that scores every class."""
    return len(classes or ())


def _as_they_are(outputs: Tensor) -> Tensor:
    return outputs


class Task(NamedTuple):
    """A learning task: its usual loss, and the measures that it has unless a study asks for others.

    targets: the form of its targets. num_outputs: (names of the classes or None, targets) -> outputs of the model.
    usual_loss: the name of the loss that is minimised where a study states none.
    measures: what is always measured of a set of examples.
    main: the measure by which arms are compared. headline: the measure whose distribution over clients and whose gaps
        are metrics. Both only where a study states no `evaluation.metric`: ask `Scoring` for a run's.
    measured_as: the form of targets whose measures it has, where that is another one: those of classes, over positions.
    answers: outputs -> the scores (logits) of the classes [N, classes], or values in the target's unit [N, outputs].
    """

    name: str
    targets: Targets
    num_outputs: Callable[[tuple[str, ...] | None, np.ndarray], int]
    usual_loss: str
    measures: tuple[Measure, ...]
    main: str
    headline: str
    measured_as: Targets | None = None
    answers: Callable[[Tensor], Tensor] = _as_they_are

    def measure(self, name: str) -> Measure:
        """The measure of this name."""
        return next(measure for measure in self.measures if measure.name == name)
