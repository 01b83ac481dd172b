"""Classification: a score for every class, cross-entropy, accuracy."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from federated.metrics.calibration import confusion, macro_f1
from federated.metrics.ranges import SHARE
from federated.metrics.row_blocks import row_blocks
from federated.metrics.tasks.task import Measure, Task


def _of_each(outputs: Tensor, targets: Tensor) -> dict[str, np.ndarray]:
    """loss: cross-entropy in nats. accuracy: 1 where the largest output is the target's."""
    losses = torch.empty(len(outputs), dtype=torch.float64)
    for rows in row_blocks(outputs):
        losses[rows] = F.cross_entropy(outputs[rows].double(), targets[rows], reduction="none")
    return {"loss": losses.numpy(), "accuracy": (outputs.argmax(dim=1) == targets).double().numpy()}


def _of_all(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """macro_f1: over the classes that occur in targets or predictions; 0 for one that is never predicted."""
    return {"macro_f1": macro_f1(confusion(outputs, targets))}


def _one_a_class(classes: tuple[str, ...] | None, targets: np.ndarray) -> int:
    return len(classes or ())


def _scores(outputs: Tensor) -> Tensor:
    return outputs


MEASURES = (
    Measure("loss", "loss", "lower", "nats", "mean cross-entropy on {set}"),
    Measure("accuracy", "accuracy", "higher", "0 to 1", "share of {set} that is right", SHARE),
    Measure("macro_f1", "macro F1", "higher", "0 to 1", "unweighted mean of the classes' F1 on {set}", SHARE),
)

CLASSIFICATION = Task(
    name="classification",
    targets="classification",
    num_outputs=_one_a_class,
    loss=F.cross_entropy,
    measures=MEASURES,
    main="accuracy",
    headline="accuracy",
    each=_of_each,
    whole=_of_all,
    scores=_scores,
)
